// What error feedback means beside the rest of training: momentum, AdamW, clipping, accumulation, learning rates, steps that do not
// exchange, and the first round. Each claim is one of docs/methods/error_feedback.md.
#include <cmath>
#include <map>

#include "compressors/cast/none.h"
#include "exchange/every_step/every_step.h"
#include "exchange/local_steps/local_steps.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/policies.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

const CompressorPtr& sparse() {
  static const CompressorPtr codec = compressor("topk", {"density=10%", "chunk=32"});
  return codec;
}
SlotTable model() { return SlotTable(policy_slots(sparse()), 1'000'000); }

// One process, and an exchange of its own for each policy.
void for_each_policy(const std::function<void(const Policy&, comm::Driver&, Exchange&)>& body) {
  test::run_ranks(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    for (const Policy& policy : all_policies()) {
      SCOPED_TRACE(policy.name);
      Exchange exchange(driver, model(), policy.options, true, 1);
      body(policy, driver, exchange);
    }
  });
}

// u = mu u + m; x -= u: what is missing from x is a moving sum of residuals, so old error arrives multiplied by up to 1 / (1 - mu).
TEST(Momentum, CarriesTheResidualsOfAllRoundsAtItsOwnDecay) {
  constexpr double kMu = 0.9;
  test::run_ranks(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, model(), {}, true, 1);
    const size_t elems = exchange.flat().size();
    Sums plain(elems), compressed(elems), of_plain(elems), of_compressed(elems), missing(elems);
    for (uint64_t step = 1; step <= 50; ++step) {
      const SlotValues inputs = gradients(exchange.table(), step, 0);
      run_round(exchange, {step, 1, false}, inputs);
      const Sums g = by_slot(exchange.table(), inputs), m = results_by_slot(exchange), e = StateSnapshot(exchange).residual;
      for (size_t i = 0; i < elems; ++i) {
        plain[i] += of_plain[i] = kMu * of_plain[i] + g[i];
        compressed[i] += of_compressed[i] = kMu * of_compressed[i] + m[i];
        missing[i] = kMu * missing[i] + e[i];
      }
    }
    // Each round's sum e + g is rounded: by at most 2^-24 of a few units, 50 times, ten times over.
    for (size_t i = 0; i < elems; ++i) ASSERT_NEAR(plain[i] - compressed[i], missing[i], 50 * 10 * 0x1p-24 * 64) << "element " << i;
  });
}

TEST(Momentum, OfEf21SgdmIsItsOwn) {
  constexpr float kBeta = 0.25f;
  test::run_ranks(2, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, model(), {.name = "ef21_sgdm", .beta = kBeta, .start = "zero"}, true, 1);
    Sums expected(exchange.flat().size());
    for (uint64_t step = 1; step <= 20; ++step) {
      const SlotValues inputs = gradients(exchange.table(), step, driver.rank());
      run_round(exchange, {step, 0.5f, step == 10}, inputs);
      const Sums g = by_slot(exchange.table(), inputs);
      for (size_t i = 0; i < g.size(); ++i) {
        const float fresh = kBeta * (0.5f * static_cast<float>(g[i])), old = (1 - kBeta) * static_cast<float>(expected[i]);
        expected[i] = step == 10 ? 0.5 * g[i] : old + fresh;  // a dense round begins it anew
      }
      EXPECT_EQ(StateSnapshot(exchange).momentum, expected) << "step " << step;
    }
  });
}

// A gradient of ones, one of twenty sent: every element comes as 20 every 20 rounds. Its mean is right and its mean square 20 times too
// large, so a step of AdamW is about sqrt(20) times too short.
TEST(AdamW, SeesASquareMeanThatIsTooLargeByOneOverTheDensity) {
  constexpr size_t kElems = 20, kCycles = 5;
  test::run_ranks(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    const CompressorPtr one_of_twenty = compressor("topk", {"density=5%", "chunk=20"});
    Exchange exchange(driver, SlotTable({{.name = "x", .rows = 1, .cols = kElems, .codec = one_of_twenty}}, 1000), {}, true, 1);
    Sums mean(kElems), square(kElems);
    for (uint64_t step = 1; step <= (kCycles + 1) * kElems; ++step) {
      run_round(exchange, {step, 1, false}, {Values(kElems, 1.0f)});
      for (size_t i = 0; i < kElems && step > kElems; ++i) {  // once every element has been sent
        const double x = exchange.flat()[i];
        mean[i] += x / (kCycles * kElems);
        square[i] += x * x / (kCycles * kElems);
      }
    }
    for (size_t i = 0; i < kElems; ++i) {
      EXPECT_NEAR(mean[i], 1, 1e-12);
      EXPECT_NEAR(square[i], kElems, 1e-12);
    }
  });
}

TEST(Clipping, ChangesTheResultAndNotTheState) {
  for_each_policy([](const Policy& policy, comm::Driver& driver, Exchange& clipped) {
    Exchange plain(driver, model(), policy.options, true, 1);
    for (uint64_t step = 1; step <= 10; ++step) {
      run_round(plain, {step, 1, false}, gradients(model(), step, 0));
      run_round(clipped, {step, 1, false}, gradients(model(), step, 0));
      EXPECT_EQ(results_by_slot(clipped), results_by_slot(plain));
      for (float& x : clipped.flat()) x *= 0.01f;
      EXPECT_EQ(bytes_of_state(clipped), bytes_of_state(plain));
    }
  });
}

// Four micro-batches are one round, of their mean.
TEST(Accumulation, IsFedBackOnceAnOptimiserStep) {
  for_each_policy([](const Policy& policy, comm::Driver& driver, Exchange& exchange) {
    Exchange at_once(driver, model(), policy.options, true, 1);
    EveryStep schedule(exchange);
    for (uint64_t step = 1; step <= 5; ++step) {
      schedule.begin_step({step, 4, false, false});
      for (int micro = 0; micro < 4; ++micro) {
        for (Slot s = 0; s < exchange.table().slots().size(); ++s) {
          const Values g = gradients(exchange.table(), step, 0)[s];
          for (size_t i = 0; i < g.size(); ++i) schedule.gradient(s)[i] += g[i];
          if (micro == 3) schedule.gradient_ready(s);
        }
      }
      schedule.reduce();
      SlotValues summed = gradients(exchange.table(), step, 0);
      for (Values& of_slot : summed) {
        for (float& x : of_slot) x = x + x + x + x;
      }
      run_round(at_once, {step, 0.25f, false}, summed);
      EXPECT_EQ(results_by_slot(exchange), results_by_slot(at_once));
      EXPECT_EQ(bytes_of_state(exchange), bytes_of_state(at_once));
    }
  });
}

struct LocalRun {
  LocalRun(Exchange& exchange, int64_t every) : parameters(exchange.table().slots().size()) {
    for (Slot s = 0; s < parameters.size(); ++s) parameters[s].assign(exchange.table().slots()[s].elems(), 0.0f);
    ExchangeOptions options;
    options.every = every;
    schedule.emplace(options, exchange, std::vector<std::span<float>>(parameters.begin(), parameters.end()));
  }
  void step(uint64_t step, float lr) {
    schedule->begin_step({step, 1, false, false});
    schedule->reduce();
    const SlotValues g = gradients(schedule->exchange().table(), step, 0);
    for (size_t s = 0; s < g.size(); ++s) {
      for (size_t i = 0; i < g[s].size(); ++i) parameters[s][i] -= lr * g[s][i];
    }
    schedule->end_step();
  }
  SlotValues parameters;
  std::optional<LocalSteps> schedule;
};

TEST(StepsBetweenRounds, LeaveTheStateAlone) {
  for_each_policy([](const Policy&, comm::Driver&, Exchange& exchange) {
    LocalRun run(exchange, 3);
    auto state = bytes_of_state(exchange);
    for (uint64_t step = 1; step <= 9; ++step) {
      run.step(step, 0.1f);
      if (step % 3 != 0) {
        EXPECT_EQ(bytes_of_state(exchange), state) << "step " << step;
      }
      state = bytes_of_state(exchange);
    }
  });
}

// Residuals of local steps are updates: what a high rate left over is still that much after the rate has fallen.
TEST(LearningRate, MayChangeWhileUpdatesAreHeldBack) {
  test::run_ranks(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, model(), {}, true, 1);
    LocalRun run(exchange, 1);
    const SlotTable& table = exchange.table();
    Sums wanted(table.total_elems());
    for (uint64_t step = 1; step <= 40; ++step) {
      const float lr = step <= 20 ? 0.1f : 0.001f;
      const Sums g = by_slot(table, gradients(table, step, 0));
      for (size_t i = 0; i < wanted.size(); ++i) wanted[i] -= static_cast<double>(lr) * g[i];
      run.step(step, lr);
    }
    const Sums found = by_slot(table, run.parameters), left = StateSnapshot(exchange).residual;
    // Six roundings a step of numbers below 16: the product, the parameter, the drift, the sum, the outer step and the residual.
    for (size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(found[i] - left[i], wanted[i], 40 * 6 * 0x1p-24 * 16) << "element " << i;
  });
}

// The first exchange is the mean itself and costs 4 bytes an element; zero starts at once and pays with a longer approach.
TEST(DenseStart, SendsTheFirstRoundAsItIs) {
  for (const Policy& policy : all_policies()) {
    if (!policy.estimates()) continue;
    for (const char* start : {"dense", "zero"}) {
      SCOPED_TRACE(policy.name + " from " + start);
      const bool dense = std::string(start) == "dense";
      FeedbackOptions options = policy.options;
      options.start = start;
      const SlotTable table({slot("weight", 1024, topk_codec(0.125, 128).codec)}, 1'000'000);
      const Values first = gradients(table, 1, 0)[0], second = gradients(table, 1, 1)[0];
      test::run_ranks(2, [&](comm::Transport& transport) {
        comm::Driver driver(transport, kPatience_s);
        Exchange exchange(driver, table, options, true, 1);
        run_round(exchange, {1, 1, false}, {driver.rank() == 0 ? first : second});
        // 1024 floats; or the payload, 8 chunks of 1 + 32 + 24 bytes.
        EXPECT_EQ(driver.counters().sent_bytes, 56 + (dense ? 4 * 1024 : 8 * 57));
        const StateSnapshot state(exchange);
        for (size_t i = 0; i < first.size() && dense; ++i) {
          ASSERT_EQ(exchange.flat()[i], 0.5f * (first[i] + second[i]));
          ASSERT_EQ(state.estimate[i], driver.rank() == 0 ? first[i] : second[i]);
        }
      });
    }
  }
}

struct PromisesNothing : compressors::Fp32Cast {
  static constexpr double kDelta = 0;
};

TEST(EControl, NeedsAGainWhereTheCodecGuaranteesNone) {
  const SlotTable table({slot("weight", 8, std::make_shared<compressors::CastCodec<PromisesNothing>>())}, 1000);
  EXPECT_NE(make_error_feedback({.name = "econtrol", .eta = 0.1}, table, 1), nullptr);
  try {
    make_error_feedback({.name = "econtrol"}, table, 1);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), ::testing::AllOf(::testing::HasSubstr("'weight'"), ::testing::HasSubstr("compress.error_feedback.eta")));
  }
}

}  // namespace
}  // namespace thinwire::exchange

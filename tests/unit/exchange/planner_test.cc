// Plans made while rounds go on: when, the same on all ranks, never costlier than the configured strength, and nothing lost on the way.
#include "exchange/planner.h"

#include <gmock/gmock.h>

#include <cmath>
#include <mutex>

#include "comm/collectives.h"
#include "compressors/sketch.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/planning.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

const std::string kTopk = "{codec: topk, topk: {density: 5%}, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2}}";
const std::string kPowersgd =
    "{codec: powersgd, powersgd: {rank: 4, min_compression: 0}, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2}}";

void on_ranks(const PlannedTrial& trial, const std::function<void(PlannedRank&)>& body) {
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    PlannedRank rank(driver, trial);
    body(rank);
  });
}

using Steps = std::vector<uint64_t>;

// The steps after which a plan came, on each rank.
std::vector<Steps> plan_steps(const PlannedTrial& trial, uint64_t last, uint64_t exchange_every) {
  std::vector<Steps> steps(static_cast<size_t>(trial.ranks));
  on_ranks(trial, [&](PlannedRank& rank) {
    for (uint64_t step = 1; step <= last; ++step) {
      const uint64_t version = rank.planner.plan().version;
      const bool exchanges = step % exchange_every == 0;
      if (exchanges) rank.exchange_step(step);
      const bool changed = rank.planner.after_step(step, exchanges);
      EXPECT_EQ(changed, rank.planner.plan().version == version + 1);
      if (changed) steps[static_cast<size_t>(rank.driver.rank())].push_back(step);
    }
  });
  return steps;
}

TEST(Planner, PlansAfterItsSamplesAndAgainWhenDue) {
  for (const int ranks : {2, 3}) {
    // Due at 2 + 6 = 8, made from the exchanges of 8 and 9; then due at 15.
    for (const Steps& steps : plan_steps(planned_trial(ranks, kTopk), 17, 1)) EXPECT_EQ(steps, (Steps{2, 9, 16}));
  }
}

TEST(Planner, CountsStepsBetweenPlansAndExchangesBeforeThem) {
  // Exchanges at 3, 6 | due at 12: 12, 15 | due at 21: 21, 24.
  for (const Steps& steps : plan_steps(planned_trial(2, kTopk), 24, 3)) EXPECT_EQ(steps, (Steps{6, 15, 24}));
  // Exchanges at 4, 8 | due at 14: 16, 20 | due at 26: 28, 32.
  for (const Steps& steps : plan_steps(planned_trial(2, kTopk), 32, 4)) EXPECT_EQ(steps, (Steps{8, 20, 32}));
}

// Plan and means after 12 steps are the same on all ranks; the plan is returned.
compressors::Plan agreed_plan(const PlannedTrial& trial) {
  std::vector<compressors::Plan> plans(static_cast<size_t>(trial.ranks));
  std::vector<SlotValues> means(plans.size());
  on_ranks(trial, [&](PlannedRank& rank) {
    for (uint64_t step = 1; step <= 12; ++step) rank.step(step);
    const auto own = static_cast<size_t>(rank.driver.rank());
    plans[own] = rank.planner.plan();
    means[own] = rank.values();
    EXPECT_EQ(rank.exchange.table().version(), plans[own].version);
  });
  EXPECT_EQ(plans[0].version, 2u);
  for (size_t r = 1; r < plans.size(); ++r) {
    EXPECT_EQ(plans[r], plans[0]) << "rank " << r;
    EXPECT_TRUE(same_bits(means[r], means[0])) << "rank " << r;
  }
  return plans[0];
}

TEST(Planner, MakesOnePlanOnAllRanks) {
  for (const int ranks : {2, 3}) {
    for (const std::string& yaml : {kTopk, kPowersgd}) {
      const compressors::Plan plan = agreed_plan(planned_trial(ranks, yaml));
      EXPECT_LE(plan.cost, plan.reference_cost);
      EXPECT_LE(plan.error, plan.budget);
    }
  }
}

TEST(Planner, MixesCodecsAndObjectives) {
  const std::string mixed = "{codec: quantize, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2, candidates: mixed}}";
  const compressors::Plan plan = agreed_plan(planned_trial(3, mixed));
  EXPECT_LE(plan.cost, plan.reference_cost);
  agreed_plan(planned_trial(3, "{codec: topk, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2, objective: time}}"));
  agreed_plan(planned_trial(2, "{codec: topk, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2, reference: accordion}}"));
}

// What one round of a table of gathered codecs and of slots that are not compressed sends, by formula, when all slices are alike.
uint64_t round_bytes(const SlotTable& table, uint64_t ranks) {
  uint64_t bytes = 0;
  for (const Bucket& bucket : table.buckets()) {
    uint64_t payloads = 0;
    for (const Slot slot : bucket.slots) payloads += table.slots()[slot].traits().exact_bytes.value();
    const bool gathers = ranks == 2 || bucket.combine == compressors::Combine::gather;
    bytes += gathers ? (ranks - 1) * (kHeader + payloads) : 2 * (ranks - 1) * kHeader + 2 * payloads * (ranks - 1) / ranks;
  }
  return bytes;
}

TEST(Planner, SendsWhatItsPlanSaysAndNoMoreThanUniformly) {
  const PlannedTrial trial = planned_trial(2, kTopk);
  on_ranks(trial, [&](PlannedRank& rank) {
    const auto sent_by_round = [&](uint64_t step) {
      const uint64_t before = rank.driver.counters().sent_bytes;
      rank.exchange_step(step);
      return rank.driver.counters().sent_bytes - before;
    };
    const uint64_t uniform = sent_by_round(1);
    EXPECT_EQ(uniform, round_bytes(rank.exchange.table(), 2));
    rank.planner.after_step(1, true);
    rank.step(2);
    const compressors::Plan& plan = rank.planner.plan();
    ASSERT_EQ(plan.version, 1u);
    double planned = 0;
    for (const auto& layer : plan.layers) planned += layer.wire_bytes;
    const uint64_t sent = sent_by_round(3);
    EXPECT_EQ(sent, round_bytes(rank.exchange.table(), 2));
    EXPECT_LE(planned, static_cast<double>(uniform));
    EXPECT_LT(plan.cost, plan.reference_cost) << "these layers differ";
  });
}

// One float for each candidate and the norm, of each layer, in a two-shot; and 8 bytes of the plan's hash.
TEST(Planner, CountsItsOwnBytes) {
  const PlannedTrial trial = planned_trial(2, kPowersgd);  // ranks 2 .. 8 and none: 8 candidates, 5 layers
  on_ranks(trial, [&](PlannedRank& rank) {
    rank.exchange_step(1);
    rank.planner.after_step(1, true);
    rank.exchange_step(2);
    const uint64_t before = rank.driver.counters().sent_bytes;
    rank.planner.after_step(2, true);
    const uint64_t sent = rank.driver.counters().sent_bytes - before, floats = 5 * 9;
    const uint64_t own = (floats + static_cast<uint64_t>(rank.driver.rank())) / 2;  // of 45, rank 1 adds up 23
    EXPECT_EQ(sent, 4 * (floats - own) + 4 * own + 8);
  });
}

TEST(Planner, LeavesRulesAndSmallSlotsAlone) {
  const PlannedTrial trial = planned_trial(2,
                                           "{codec: topk, topk: {density: 5%}, min_elems: 100, rules: [{match: head, codec: bf16}], "
                                           "plan: {method: lgreco, every: 2, samples: 2}}");
  on_ranks(trial, [&](PlannedRank& rank) {
    for (uint64_t step = 1; step <= 9; ++step) {
      rank.step(step);
      for (const Slot slot : {2u, 3u}) {
        EXPECT_EQ(rank.exchange.table().slots()[slot].codec, trial.slots[slot].codec);
        EXPECT_EQ(rank.exchange.table().slots()[slot].text, trial.slots[slot].text);
      }
    }
    EXPECT_EQ(rank.planner.plan().version, 3u);
    EXPECT_EQ(rank.planner.plan().layers[2].why_dense, trial.slots[2].why_dense);
  });
}

// In, mean, and what is kept: residuals / ranks and what owners owe, in doubles, by slot.
struct Ledger {
  std::vector<std::vector<double>> in, out;
};

void expect_conserved(const PlannedTrial& trial, uint64_t steps) {
  std::vector<std::vector<double>> zeros;
  for (const SlotSpec& slot : trial.slots) zeros.emplace_back(slot.elems(), 0.0);
  Ledger ledger{zeros, zeros};
  std::mutex mutex;
  on_ranks(trial, [&](PlannedRank& rank) {
    auto in = zeros, out = zeros;
    const double share = 1.0 / trial.ranks;
    for (uint64_t step = 1; step <= steps; ++step) {
      rank.exchange_step(step);
      for (Slot slot = 0; slot < in.size(); ++slot) {
        const Values numbers = layer_numbers(trial.slots[slot], step, rank.driver.rank());
        for (size_t i = 0; i < numbers.size(); ++i) {
          in[slot][i] += share * numbers[i];
          out[slot][i] += share * rank.exchange.values(slot)[i];  // each rank counts its share of the mean
        }
      }
      rank.planner.after_step(step, true);
    }
    EXPECT_GE(rank.planner.plan().version, 3u);
    // Nothing is owed right after a plan: it went back into the residuals.
    for (const StatePiece& piece : rank.exchange.state()) {
      const auto values = floats_of(piece);
      if (piece.name.starts_with("residual/")) {
        for (size_t i = 0; i < values.size(); ++i) out[piece.slot][i] += share * values[i];
      } else if (piece.name.starts_with("owed/")) {
        for (const float owed : values) EXPECT_EQ(owed, 0.0f);
      }
    }
    const std::lock_guard lock(mutex);
    for (size_t s = 0; s < in.size(); ++s) {
      for (size_t i = 0; i < in[s].size(); ++i) {
        ledger.in[s][i] += in[s][i];
        ledger.out[s][i] += out[s][i];
      }
    }
  });
  for (size_t s = 0; s < ledger.in.size(); ++s) {
    double largest = 0;
    for (uint64_t step = 1; step <= steps; ++step) {
      for (int rank = 0; rank < trial.ranks; ++rank) {
        for (const float x : layer_numbers(trial.slots[s], step, rank)) largest = std::max<double>(largest, std::fabs(x));
      }
    }
    // Rounding: a few units in the last place of sums of some largest inputs, in each step.
    const double tolerance = static_cast<double>(steps) * 0x1p-20 * largest;
    for (size_t i = 0; i < ledger.in[s].size(); ++i) {
      ASSERT_NEAR(ledger.in[s][i], ledger.out[s][i], tolerance) << trial.slots[s].name << ' ' << i;
    }
  }
}

TEST(Planner, LosesNothingWhenPlansChange) {
  for (const int ranks : {2, 3}) {
    // 16 steps end with a plan.
    expect_conserved(planned_trial(ranks, kTopk), 16);
    expect_conserved(planned_trial(ranks, "{codec: quantize, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2}}"), 16);
    expect_conserved(planned_trial(ranks, "{codec: topk, combine: reencode, min_elems: 100, plan: {method: lgreco, every: 6, samples: 2}}"),
                     16);
  }
}

std::vector<float> memory_of(Exchange& exchange, Slot slot) {
  for (const StatePiece& piece : exchange.state()) {
    if (piece.slot != slot || !piece.name.starts_with("sketch/")) continue;
    const auto values = floats_of(piece);
    return {values.begin(), values.end()};
  }
  return {};
}

// What a sketch has learnt stays where the choice stays, from the first plan on; elsewhere it starts anew under the plan's version.
TEST(Planner, KeepsASketchsMemoryWhereTheChoiceStays) {
  int kept = 0, fresh = 0;
  on_ranks(planned_trial(2, kPowersgd), [&](PlannedRank& rank) {
    for (uint64_t step = 1; step <= 16; ++step) {
      rank.exchange_step(step);
      std::vector<std::vector<float>> before;
      std::vector<std::string> choices;
      for (Slot slot = 0; slot < rank.trial.slots.size(); ++slot) {
        before.push_back(memory_of(rank.exchange, slot));
        const uint64_t version = rank.planner.plan().version;
        choices.push_back(version == 0 ? "powersgd rank=4" : rank.planner.plan().layers[slot].choice);
      }
      if (!rank.planner.after_step(step, true)) continue;
      for (Slot slot = 0; slot < rank.trial.slots.size(); ++slot) {
        const SlotSpec& spec = rank.exchange.table().slots()[slot];
        const auto* sketch = dynamic_cast<const compressors::Sketch*>(spec.codec.get());
        if (sketch == nullptr) continue;
        const compressors::Layer layer{slot, spec.rows, spec.cols};
        std::vector<float> expected(sketch->memory_elems(layer));
        const bool same = spec.text == choices[slot];
        if (same) {
          expected = before[slot];
        } else {
          sketch->start(layer, Draw(1).fork("sketch").fork(rank.exchange.table().version()).fork(slot), expected);
        }
        EXPECT_EQ(memory_of(rank.exchange, slot), expected) << spec.name << " step " << step << ' ' << choices[slot] << " -> " << spec.text;
        if (rank.driver.rank() == 0 && !expected.empty()) ++(same ? kept : fresh);
      }
    }
  });
  EXPECT_GT(kept, 0);
  EXPECT_GT(fresh, 0);
}

TEST(Planner, GoesOnWithAConfiguredSketchFromTheFirstPlanOn) {
  PlannedTrial trial = planned_trial(2, kPowersgd);
  trial.slots.resize(1);  // with nothing to trade, the configured rank is the best within its own error
  on_ranks(trial, [&](PlannedRank& rank) {
    rank.step(1);
    rank.exchange_step(2);
    const auto before = memory_of(rank.exchange, 0);
    EXPECT_TRUE(rank.planner.after_step(2, true));
    EXPECT_EQ(rank.planner.plan().layers[0].choice, "powersgd rank=4");
    EXPECT_FALSE(before.empty());
    EXPECT_EQ(memory_of(rank.exchange, 0), before);
  });
}

// econtrol's eta comes from the guaranteed contraction, which 8 bits have on these slots and 4 bits have not: said before the run.
TEST(Planner, RefusesCandidatesWithoutAContractionUnderEcontrol) {
  const auto construct = [](const std::string& feedback, const std::string& plan) {
    const PlannedTrial trial = planned_trial(1, "{codec: quantize, quantize: {bits: 8}, min_elems: 100, error_feedback: {name: econtrol" +
                                                    feedback + "}, plan: {method: " + plan + "}}");
    on_ranks(trial, [](PlannedRank&) {});
  };
  EXPECT_NO_THROW(construct("", "off"));
  EXPECT_NO_THROW(construct(", eta: 0.1", "lgreco"));
  try {
    construct("", "lgreco");
    FAIL() << "4 bits guarantee nothing, yet it may be planned";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_THAT(e.what(), ::testing::AllOf(::testing::HasSubstr("'embed'"), ::testing::HasSubstr("quantize bits=4")));
  }
}

}  // namespace
}  // namespace thinwire::exchange

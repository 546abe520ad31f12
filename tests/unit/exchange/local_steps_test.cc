#include "exchange/local_steps/local_steps.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <map>

#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

Trial small_model(int ranks, const Modelled& codec) {
  Trial trial;
  trial.ranks = ranks;
  trial.add("embed", 300, codec);
  trial.add("norm", 5, none_codec());
  trial.feedback.decay = 0.95;
  return trial;
}

SlotValues initial_parameters(const Trial& trial) {
  SlotValues all;
  for (size_t s = 0; s < trial.slots.size(); ++s) all.push_back(numbers(trial.slots[s].elems(), 77 + s));
  return all;
}

// The inner optimiser: any rule will do, as long as ranks differ.
void optimize(SlotValues& parameters, uint64_t step, int rank) {
  for (size_t s = 0; s < parameters.size(); ++s) {
    const Values direction = numbers(parameters[s].size(), 1'000'000 + step * 100 + static_cast<uint64_t>(rank) * 10 + s);
    for (size_t i = 0; i < direction.size(); ++i) parameters[s][i] -= 0.01f * direction[i];
  }
}

std::vector<std::span<float>> spans_of(SlotValues& values) { return {values.begin(), values.end()}; }

ExchangeOptions every(int64_t steps, const OuterOptions& outer = {}) {
  ExchangeOptions options;
  options.schedule = "local_steps";
  options.every = steps;
  options.outer = outer;
  return options;
}

// All ranks in one place, by the formulas of local_steps.h. A fragment is one slot here, or all slots.
class SerialLocalSteps {
 public:
  SerialLocalSteps(const Trial& trial, const OuterOptions& outer)
      : outer_(outer), anchor_(initial_parameters(trial)), momentum_(anchor_), mean_(anchor_) {
    for (const SlotSpec& slot : trial.slots) fragment_of_.push_back(slot.fragment);
    exchanges_.assign(fragment_of_.back() + 1, trial.serial());
    for (Values& m : momentum_) std::ranges::fill(m, 0.0f);
    parameters_.assign(static_cast<size_t>(trial.ranks), anchor_);
    departed_ = parameters_;
  }
  void local_step(uint64_t step) {
    for (size_t rank = 0; rank < parameters_.size(); ++rank) optimize(parameters_[rank], step, static_cast<int>(rank));
  }
  void begin(uint32_t fragment, bool dense) {
    auto drifts = parameters_;
    for (size_t rank = 0; rank < drifts.size(); ++rank) {
      for (size_t s = 0; s < anchor_.size(); ++s) {
        Values& drift = drifts[rank][s];
        for (size_t i = 0; i < drift.size(); ++i) drift[i] = fragment_of_[s] == fragment ? anchor_[s][i] - drift[i] : 0.0f;
        if (fragment_of_[s] == fragment) departed_[rank][s] = parameters_[rank][s];
      }
    }
    const SlotValues mean = dense ? exchanges_[fragment].dense_round(drifts, 1) : exchanges_[fragment].round(drifts, 1);
    for (size_t s = 0; s < anchor_.size(); ++s) {
      if (fragment_of_[s] == fragment) mean_[s] = mean[s];
    }
  }
  // `gone_on`: steps were done since begin().
  void end(uint32_t fragment, bool gone_on) {
    for (size_t s = 0; s < anchor_.size(); ++s) {
      if (fragment_of_[s] != fragment) continue;
      for (size_t i = 0; i < mean_[s].size(); ++i) anchor_[s][i] -= outer(momentum_[s][i], mean_[s][i]);
      for (size_t rank = 0; rank < parameters_.size(); ++rank) {
        Values& own = parameters_[rank][s];
        for (size_t i = 0; i < own.size(); ++i) own[i] = gone_on ? own[i] + (anchor_[s][i] - departed_[rank][s][i]) : anchor_[s][i];
      }
    }
  }
  void round(bool dense) {
    begin(0, dense);
    end(0, false);
  }
  const SlotValues& parameters(int rank) const { return parameters_[static_cast<size_t>(rank)]; }
  const SlotValues& anchor() const { return anchor_; }

 private:
  float outer(float& m, float d) const {
    const auto lr = static_cast<float>(outer_.lr), mu = static_cast<float>(outer_.momentum);
    if (outer_.name == "sgd") return lr * d;
    m = mu * m + d;
    return lr * (d + mu * m);
  }

  std::vector<SerialExchange> exchanges_;  // by fragment
  std::vector<uint32_t> fragment_of_;      // by slot
  OuterOptions outer_;
  SlotValues anchor_, momentum_, mean_;
  std::vector<SlotValues> parameters_, departed_;  // by rank
};

void step_on(Schedule& schedule, SlotValues& parameters, const StepPlan& plan, int rank) {
  schedule.begin_step(plan);
  schedule.reduce();
  optimize(parameters, plan.step, rank);
  schedule.end_step();
}

struct Plan {
  uint64_t steps;
  std::vector<uint64_t> rounds;  // after which an exchange is due
  std::vector<uint64_t> dense = {};
};

void expect_model_bits(const Trial& trial, const ExchangeOptions& options, const Plan& plan) {
  const auto in = [](const std::vector<uint64_t>& steps, uint64_t step) { return std::ranges::find(steps, step) != steps.end(); };
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues parameters = initial_parameters(trial);
    const auto schedule = make_schedule(options, rank.exchange, spans_of(parameters));
    SerialLocalSteps serial(trial, options.outer);
    EXPECT_TRUE(schedule->replicas_agree());
    for (uint64_t step = 1; step <= plan.steps; ++step) {
      SCOPED_TRACE("rank " + std::to_string(rank.index()) + ", step " + std::to_string(step));
      step_on(*schedule, parameters, {step, 1, in(plan.dense, step), step == plan.steps}, rank.index());
      serial.local_step(step);
      const bool due = in(plan.rounds, step);
      if (due) serial.round(in(plan.dense, step));
      EXPECT_TRUE(same_bits(parameters, serial.parameters(rank.index())));
      EXPECT_EQ(schedule->exchanged(), due);
      EXPECT_EQ(schedule->replicas_agree(), due || trial.ranks == 1);
      EXPECT_EQ(schedule->optimizer_agrees(), trial.ranks == 1) << "its moments never travel";
    }
  });
}

TEST(LocalSteps, ApplyTheMeanDriftToTheAnchor) {
  for (const int ranks : {1, 2, 3}) {
    for (const Modelled& codec : {none_codec(), topk_codec(0.1, 64)}) {
      expect_model_bits(small_model(ranks, codec), every(3), {6, {3, 6}});
      expect_model_bits(small_model(ranks, codec), every(3, {"sgd", 0.7, 0.9}), {9, {3, 6, 9}});
    }
  }
}

TEST(LocalSteps, ApplyNesterovMomentumToTheMeanDrift) {
  for (const Modelled& codec : {none_codec(), topk_codec(0.1, 64)}) {
    expect_model_bits(small_model(2, codec), every(2, {"nesterov", 0.7, 0.9}), {8, {2, 4, 6, 8}});
  }
}

TEST(LocalSteps, MayExchangeEveryStep) { expect_model_bits(small_model(2, topk_codec(0.1, 64)), every(1), {4, {1, 2, 3, 4}}); }

TEST(LocalSteps, EndTheRunWithARoundHoweverShort) {
  expect_model_bits(small_model(3, topk_codec(0.1, 64)), every(3), {7, {3, 6, 7}});
  expect_model_bits(small_model(2, none_codec()), every(100, {"nesterov", 0.7, 0.9}), {2, {2}});
}

TEST(LocalSteps, WarmUpInFp32) { expect_model_bits(small_model(2, topk_codec(0.1, 64)), every(2), {8, {2, 4, 6, 8}, /*dense=*/{2, 6}}); }

// Rounds that training does not wait for: which fragment's round begins and ends after which step.
struct Under {
  uint64_t steps;
  std::vector<std::vector<uint64_t>> begins, ends;  // by fragment
};

void expect_delayed_bits(Trial trial, ExchangeOptions options, const Under& plan) {
  const auto in = [](const std::vector<uint64_t>& steps, uint64_t step) { return std::ranges::find(steps, step) != steps.end(); };
  options.fragments = static_cast<int64_t>(plan.begins.size());
  assign_fragments(trial.slots, options.fragments);
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues parameters = initial_parameters(trial);
    const auto schedule = make_schedule(options, rank.exchange, spans_of(parameters));
    SerialLocalSteps serial(trial, options.outer);
    for (uint64_t step = 1; step <= plan.steps; ++step) {
      SCOPED_TRACE("rank " + std::to_string(rank.index()) + ", step " + std::to_string(step));
      const bool last = step == plan.steps;
      step_on(*schedule, parameters, {step, 1, false, last}, rank.index());
      serial.local_step(step);
      bool ended = false;
      for (uint32_t f = 0; f < plan.begins.size(); ++f) {
        if (in(plan.ends[f], step)) serial.end(f, true);
        ended = ended || last || in(plan.ends[f], step);
      }
      for (uint32_t f = 0; f < plan.begins.size(); ++f) {
        if (in(plan.begins[f], step) || last) serial.begin(f, false);
        if (last) serial.end(f, false);
      }
      EXPECT_TRUE(same_bits(parameters, serial.parameters(rank.index())));
      for (const StatePiece& piece : schedule->agreed()) {
        if (!piece.name.starts_with("anchor/")) continue;
        EXPECT_THAT(floats_of(piece), ::testing::ElementsAreArray(serial.anchor()[piece.slot])) << piece.name;
      }
      EXPECT_EQ(schedule->exchanged(), ended);
      EXPECT_EQ(schedule->replicas_agree(), last || trial.ranks == 1);
    }
    EXPECT_TRUE(same_bits(parameters, serial.anchor())) << "the last step ends all rounds";
  });
}

ExchangeOptions delayed(int64_t steps, int64_t delay, const OuterOptions& outer = {}) {
  ExchangeOptions options = every(steps, outer);
  options.delay = delay;
  return options;
}

TEST(LocalSteps, GoOnWhileARoundIsUnderWay) {
  for (const int ranks : {1, 2, 3}) {
    for (const Modelled& codec : {none_codec(), topk_codec(0.1, 64)}) {
      expect_delayed_bits(small_model(ranks, codec), delayed(3, 1), {8, {{3, 6}}, {{4, 7}}});
      expect_delayed_bits(small_model(ranks, codec), delayed(3, 2, {"nesterov", 0.7, 0.9}), {10, {{3, 6, 9}}, {{5, 8, 10}}});
    }
  }
}

TEST(LocalSteps, MayLetARoundTakeAsLongAsTheNextOneIsAway) {
  expect_delayed_bits(small_model(2, topk_codec(0.1, 64)), delayed(2, 2), {7, {{2, 4, 6}}, {{4, 6, 7}}});
}

TEST(LocalSteps, SpreadTheRoundsOfFragments) {
  const Trial trial = small_model(2, topk_codec(0.1, 64));
  expect_delayed_bits(trial, delayed(4, 1), {9, {{2, 6}, {4, 8}}, {{3, 7}, {5, 9}}});
  expect_delayed_bits(trial, delayed(4, 3, {"nesterov", 0.7, 0.9}), {10, {{2, 6, 10}, {4, 8}}, {{5, 9}, {7, 10}}});
  expect_delayed_bits(trial, delayed(2, 2), {5, {{1, 3, 5}, {2, 4}}, {{3, 5}, {4, 5}}});
}

TEST(LocalSteps, LeaveGradientsToTheirRank) {
  const Trial trial = small_model(2, none_codec());
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues parameters = initial_parameters(trial);
    LocalSteps schedule(every(5), rank.exchange, spans_of(parameters));
    for (const uint64_t step : {1, 2}) {  // the second finds no trace of the first
      schedule.begin_step({step, 4, false, false});
      for (int micro = 0; micro < 4; ++micro) {
        for (float& g : schedule.gradient(0)) g += static_cast<float>(rank.index() + 1);
        schedule.gradient_ready(0);
      }
      schedule.reduce();
      for (const float g : schedule.gradient(0)) EXPECT_EQ(g, static_cast<float>(rank.index() + 1)) << "the mean over micro-batches";
      for (const float g : schedule.gradient(1)) EXPECT_EQ(g, 0);
      schedule.end_step();
    }
    EXPECT_EQ(rank.driver.counters().sent_bytes, 0u);
  });
}

TEST(LocalSteps, NameTheirStateByParameter) {
  const Trial trial = small_model(1, none_codec());
  test::run_ranks(1, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues parameters = initial_parameters(trial);
    const auto names = [&](const OuterOptions& outer) {
      std::vector<std::string> all;
      for (const StatePiece& piece : LocalSteps(every(5, outer), rank.exchange, spans_of(parameters)).state()) {
        EXPECT_EQ(floats_of(piece).size(), trial.slots[piece.slot].elems());
        all.push_back(piece.name);
      }
      return all;
    };
    EXPECT_THAT(names({"sgd", 1, 0.9}), ::testing::UnorderedElementsAre("anchor/embed", "anchor/norm"));
    EXPECT_THAT(names({"nesterov", 1, 0.9}),
                ::testing::UnorderedElementsAre("anchor/embed", "anchor/norm", "outer_momentum/embed", "outer_momentum/norm"));
  });
}

// What a checkpoint holds of one rank.
struct Saved {
  SlotValues parameters, residuals;
  std::map<std::string, std::vector<std::byte>> schedule, agreed;
};

std::map<std::string, std::vector<std::byte>> copy_of(const std::vector<StatePiece>& pieces) {
  std::map<std::string, std::vector<std::byte>> copies;
  for (const StatePiece& piece : pieces) copies[piece.name].assign(piece.memory.begin(), piece.memory.end());
  return copies;
}

class LocalStepsResume : public ::testing::TestWithParam<int64_t> {};  // the delay

TEST_P(LocalStepsResume, GoesOnInTheMiddleOfARound) {
  Trial trial = small_model(2, topk_codec(0.1, 64));
  ExchangeOptions options = every(3, {"nesterov", 0.7, 0.9});
  const int64_t delay = GetParam();
  if (delay > 0) assign_fragments(trial.slots, options.fragments = 2);
  options.delay = delay;
  for (const uint64_t stop : {1, 2, 3, 4, 5, 6}) {
    std::vector<Saved> saved(2);
    std::vector<SlotValues> undisturbed(2);
    test::run_ranks(2, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      const auto own = static_cast<size_t>(rank.index());
      SlotValues parameters = initial_parameters(trial);
      LocalSteps schedule(options, rank.exchange, spans_of(parameters));
      for (uint64_t step = 1; step <= 8; ++step) {
        step_on(schedule, parameters, {step, 1, false, step == 8}, rank.index());
        if (step != stop) continue;
        rank.exchange.join();
        saved[own] = {parameters, rank.residuals(), copy_of(schedule.state()), copy_of(schedule.agreed())};
      }
      undisturbed[own] = parameters;
    });
    EXPECT_EQ(saved[0].agreed, saved[1].agreed) << "equal on all ranks";
    test::run_ranks(2, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      const auto own = static_cast<size_t>(rank.index());
      SlotValues parameters = initial_parameters(trial);
      LocalSteps schedule(options, rank.exchange, spans_of(parameters));
      for (Slot s = 0; s < parameters.size(); ++s) {
        std::ranges::copy(saved[own].parameters[s], parameters[s].begin());
        std::ranges::copy(saved[own].residuals[s], rank.exchange.residual(s).begin());
      }
      for (const StatePiece& piece : schedule.state()) std::ranges::copy(saved[own].schedule.at(piece.name), piece.memory.begin());
      for (uint64_t step = stop + 1; step <= 8; ++step) step_on(schedule, parameters, {step, 1, false, step == 8}, rank.index());
      EXPECT_TRUE(same_bits(parameters, undisturbed[own])) << "stopped after step " << stop;
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Delays, LocalStepsResume, ::testing::Values<int64_t>(0, 1, 2, 3));

TEST(LocalSteps, RefuseAParameterThatIsNoNumber) {
  const Trial trial = small_model(2, topk_codec(0.1, 64));
  const auto failures = failures_of(2, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues parameters = initial_parameters(trial);
    LocalSteps schedule(every(2), rank.exchange, spans_of(parameters));
    for (const uint64_t step : {1, 2}) {
      if (rank.index() == 1) parameters[0][17] = std::numeric_limits<float>::quiet_NaN();
      step_on(schedule, parameters, {step, 1, false, false}, rank.index());
    }
  });
  for (const Failure& failure : failures) {
    EXPECT_EQ(failure.code, ExitCode::non_finite);
    EXPECT_THAT(failure.what, ::testing::AllOf(::testing::HasSubstr("'embed'"), ::testing::HasSubstr("rank 1 at step 2"),
                                               ::testing::HasSubstr("element 17")));
  }
}

}  // namespace
}  // namespace thinwire::exchange

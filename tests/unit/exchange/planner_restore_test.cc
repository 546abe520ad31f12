// A planner that is saved and restored, in the middle of anything, goes on as the one that was not disturbed: to the bit.
#include <gmock/gmock.h>

#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/planning.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

constexpr uint64_t kSteps = 14;

struct Checkpointed {
  std::string text;
  std::map<std::string, std::vector<std::byte>> state;
};

// The means of a step. A slot falls back in the middle of the second plan's samples.
SlotValues step_with_fallback(PlannedRank& rank, uint64_t step) {
  rank.exchange_step(step);
  SlotValues means = rank.values();
  if (step == 8) rank.planner.fall_back(1);
  rank.planner.after_step(step, true);
  return means;
}

void expect_undisturbed(const std::string& yaml) {
  SCOPED_TRACE(yaml);
  const PlannedTrial trial = planned_trial(2, yaml);
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    PlannedRank undisturbed(driver, trial);
    std::vector<Checkpointed> saved = {{undisturbed.planner.to_text(), undisturbed.saved_state()}};  // [step]
    std::vector<SlotValues> means(1);
    for (uint64_t step = 1; step <= kSteps; ++step) {
      means.push_back(step_with_fallback(undisturbed, step));
      saved.push_back({undisturbed.planner.to_text(), undisturbed.saved_state()});
    }
    EXPECT_EQ(undisturbed.planner.plan().version, trial.options.plan.method == "off" ? 0u : 2u);
    for (uint64_t from = 0; from < kSteps; ++from) {
      SCOPED_TRACE("restored after step " + std::to_string(from));
      PlannedRank restored(driver, trial);
      restored.planner.restore(saved[from].text);
      restored.load_state(saved[from].state);
      EXPECT_EQ(restored.planner.to_text(), saved[from].text);
      EXPECT_EQ(restored.saved_state(), saved[from].state);
      for (uint64_t step = from + 1; step <= kSteps; ++step) {
        EXPECT_TRUE(same_bits(step_with_fallback(restored, step), means[step])) << "step " << step;
        EXPECT_EQ(restored.planner.to_text(), saved[step].text) << "step " << step;
      }
      EXPECT_EQ(restored.saved_state(), saved[kSteps].state);
      EXPECT_EQ(restored.exchange.table().hash(), undisturbed.exchange.table().hash());
      EXPECT_EQ(restored.exchange.table().version(), undisturbed.exchange.table().version());
    }
  });
}

const std::string kPlan = "min_elems: 100, plan: {method: lgreco, every: 5, samples: 3}}";

TEST(PlannerRestore, GoesOnToTheBitUnderEf14) { expect_undisturbed("{codec: topk, topk: {density: 5%}, " + kPlan); }
TEST(PlannerRestore, GoesOnToTheBitWithOwnersDebts) { expect_undisturbed("{codec: quantize, " + kPlan); }
TEST(PlannerRestore, GoesOnToTheBitWithEstimates) { expect_undisturbed("{codec: quantize, error_feedback: {name: ef21_sgdm}, " + kPlan); }
TEST(PlannerRestore, GoesOnToTheBitWithSmallResiduals) { expect_undisturbed("{codec: topk, error_feedback: {state: int8}, " + kPlan); }
TEST(PlannerRestore, GoesOnToTheBitWithSketches) {
  expect_undisturbed("{codec: powersgd, powersgd: {rank: 4, min_compression: 0}, " + kPlan);
}
TEST(PlannerRestore, GoesOnToTheBitWithMixedCodecsAndAccordion) {
  expect_undisturbed(
      "{codec: quantize, min_elems: 100, plan: {method: lgreco, every: 5, samples: 3, candidates: mixed, reference: accordion}}");
}
TEST(PlannerRestore, GoesOnToTheBitWithoutPlans) { expect_undisturbed("{codec: topk, plan: {method: off}}"); }

// Its text after 8 steps: a plan, a fallback, and samples on their way.
std::string saved_text(const PlannedTrial& trial) {
  std::string text;
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    PlannedRank rank(driver, trial);
    for (uint64_t step = 1; step <= 9; ++step) step_with_fallback(rank, step);
    if (driver.rank() == 0) text = rank.planner.to_text();
  });
  return text;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) throw std::logic_error("no '" + from + "' in " + text);
  return text.replace(at, from.size(), to);
}

TEST(PlannerRestore, RefusesADamagedTextAndStaysAsItWas) {
  const PlannedTrial trial = planned_trial(2, "{codec: topk, topk: {density: 5%}, " + kPlan);
  const std::string good = saved_text(trial);
  const size_t second = good.find('\n') + 1, third = good.find('\n', second) + 1;
  const std::string head = good.substr(second, third - second);
  ASSERT_EQ(head, "8 1 1 1 0\n");
  const std::vector<std::string> damaged = {"",
                                            "planner",
                                            replaced(good, "planner 2", "planner 3"),
                                            replaced(good, "planner 2", "planner 22"),
                                            replaced(good, head, "8 1 1 1\n"),
                                            replaced(good, head, "8 1 1 1 0 1\n"),
                                            replaced(good, head, "8 2 1 1 0\n"),
                                            replaced(good, head, "-8 1 1 1 0\n"),
                                            replaced(good, head, "8 1 -1 1 0\n"),
                                            replaced(good, head, "8 1 1 6 0\n"),
                                            replaced(good, head, "8 1 1 0 0\n"),
                                            replaced(good, head, "8 1 1 2 0\n"),
                                            replaced(good, head, "8 1 1 1 6\n"),
                                            replaced(good, head, "8 1 1 1 1\n"),
                                            replaced(good, head, "8 1 1 1 1\n9\n"),
                                            replaced(good, head, "99999999999999999999 1 1 1 0\n"),
                                            replaced(good, "\n1 its", "\n5 its"),
                                            replaced(good, "\n1 its", "\nx its"),
                                            replaced(good, "thinwire plan 1", "thinwire plan 2"),
                                            replaced(good, "embed\t64", "embed\t65"),
                                            replaced(good, "embed\t", "other\t"),
                                            replaced(good, "topk density=", "topk sparsity="),
                                            replaced(good, "head\t1", "head\tone"),
                                            good.substr(0, good.size() - 1),
                                            good.substr(0, good.rfind('\n', good.size() - 2) + 1),
                                            good.substr(0, third),
                                            good.substr(0, third - 3),
                                            good + "k\n"};
  test::run_ranks(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    PlannedRank rank(driver, trial);
    rank.step(1);
    const std::string before = rank.planner.to_text();
    const auto state = rank.saved_state();
    for (const std::string& text : damaged) {
      EXPECT_THROW(rank.planner.restore(text), CorruptData) << text;
      EXPECT_EQ(rank.planner.to_text(), before) << text;
      EXPECT_EQ(rank.saved_state(), state) << text;
    }
    EXPECT_NO_THROW(rank.planner.restore(good));
    EXPECT_EQ(rank.planner.to_text(), good);
  });
  const PlannedTrial plain = planned_trial(1, "{codec: topk, min_elems: 100}");
  test::run_ranks(1, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    PlannedRank rank(driver, plain);
    EXPECT_THROW(rank.planner.restore(good), CorruptData) << "this run does not plan";
  });
}

}  // namespace
}  // namespace thinwire::exchange

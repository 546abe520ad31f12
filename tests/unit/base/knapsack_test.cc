// The knapsack against brute force, its guarantees on problems too large for that, and the ways in which there is no answer.
#include "base/knapsack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/draw.h"
#include "tests/support/knapsack_layers.h"

namespace thinwire {
namespace {

using Rows = std::vector<KnapsackRow>;
using Choice = std::vector<uint32_t>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr KnapsackLimits kBucketsOnly{.buckets = 10'000, .most_states = 0};

double sum_of(const Rows& rows, const Choice& choice, double KnapsackOption::*what) {
  double sum = 0;
  for (size_t l = 0; l < rows.size(); ++l) sum += rows[l][choice[l]].*what;
  return sum;
}

// Every assignment, counted like the digits of a number.
std::optional<double> least_cost_by_force(const Rows& rows, double budget) {
  std::optional<double> least;
  Choice choice(rows.size(), 0);
  for (;;) {
    const double cost = sum_of(rows, choice, &KnapsackOption::cost);
    if (sum_of(rows, choice, &KnapsackOption::error) <= budget && (!least || cost < *least)) least = cost;
    size_t l = 0;
    while (l < rows.size() && ++choice[l] == rows[l].size()) choice[l++] = 0;
    if (l == rows.size()) return least;
  }
}

Rows random_rows(const Draw& draw, size_t layers, size_t options) {
  Rows rows(layers);
  for (size_t l = 0; l < layers; ++l) {
    for (size_t i = 0; i < options; ++i) {
      const uint64_t at = 2 * (l * options + i);
      const double error = draw.below(at, 10) == 0 ? 0 : std::exp(4 * draw.normal(at));
      rows[l].push_back({static_cast<double>(draw.below(at + 1, 1000)), error});
    }
  }
  return rows;
}

TEST(Knapsack, EqualsBruteForce) {
  int feasible = 0;
  for (uint64_t trial = 0; trial < 1000; ++trial) {
    SCOPED_TRACE(trial);
    const Draw draw = Draw(17).fork(trial);
    const size_t layers = 1 + draw.below(1'000'000, 6), options = 1 + draw.below(1'000'001, 5);
    const Rows rows = random_rows(draw, layers, options);
    const Choice reference(layers, static_cast<uint32_t>(draw.below(1'000'002, options)));
    const double budget = sum_of(rows, reference, &KnapsackOption::error) * std::exp(draw.normal(1'000'003));

    const auto least = least_cost_by_force(rows, budget);
    const auto found = solve_knapsack(rows, budget, reference);
    ASSERT_EQ(found.has_value(), least.has_value());
    if (!least) continue;
    ++feasible;
    EXPECT_EQ(found->cost, *least);
    EXPECT_TRUE(found->exact);
    EXPECT_EQ(found->bound, *least);
    EXPECT_LE(found->error, budget);
    EXPECT_EQ(found->cost, sum_of(rows, found->choice, &KnapsackOption::cost));
    EXPECT_EQ(found->error, sum_of(rows, found->choice, &KnapsackOption::error));
  }
  EXPECT_GT(feasible, 500);
}

// The trap: rounded up, the errors of the uniform reference need more buckets than there are.
TEST(Knapsack, BucketsAreNeverOverBudgetNorCostlierThanTheReference) {
  for (uint64_t trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const Rows rows = test::layers_like(trial, 1 + trial % 40, 2 + trial % 7);
    const Choice reference(rows.size(), static_cast<uint32_t>(trial % rows[0].size()));
    const double budget = sum_of(rows, reference, &KnapsackOption::error);
    for (const size_t buckets : {size_t{1}, size_t{10}, size_t{200}, size_t{10'000}}) {
      const auto found = solve_knapsack(rows, budget, reference, {.buckets = buckets, .most_states = 0});
      ASSERT_TRUE(found);
      EXPECT_LE(found->error, budget);
      EXPECT_LE(found->cost, sum_of(rows, reference, &KnapsackOption::cost));
      EXPECT_LE(found->bound, found->cost);
    }
  }
}

TEST(Knapsack, BucketsAreWithinAThousandthOfTheOptimumAndTheirBoundBelowIt) {
  for (uint64_t trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(trial);
    const Rows rows = test::layers_like(trial, 1 + trial % 6, 5);
    const double budget = sum_of(rows, Choice(rows.size(), 2), &KnapsackOption::error);
    const auto exact = solve_knapsack(rows, budget), bucketed = solve_knapsack(rows, budget, {}, kBucketsOnly);
    ASSERT_TRUE(exact && bucketed);
    ASSERT_TRUE(exact->exact);
    EXPECT_GE(bucketed->cost, exact->cost);
    EXPECT_LE(bucketed->cost, exact->cost * 1.001);
    EXPECT_LE(bucketed->bound, exact->cost * (1 + 1e-12));
  }
}

TEST(Knapsack, AThousandRowsComeWithinAThousandthOfTheirBound) {
  const Rows rows = test::layers_like(5, 1000, 20);
  const Choice reference(rows.size(), 6);
  const double budget = sum_of(rows, reference, &KnapsackOption::error);
  const auto found = solve_knapsack(rows, budget, reference);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->exact);
  EXPECT_LE(found->error, budget);
  EXPECT_LT(found->cost, 0.96 * sum_of(rows, reference, &KnapsackOption::cost));
  EXPECT_LE(found->cost, found->bound * 1.001);
}

TEST(Knapsack, NoAnswerWhenNothingIsWithinTheBudget) {
  const Rows rows{{{5, 1}, {3, 2}}, {{5, 1}, {3, 2}}};
  EXPECT_FALSE(solve_knapsack(rows, 1.9));
  EXPECT_TRUE(solve_knapsack(rows, 2));
  EXPECT_FALSE(solve_knapsack(rows, -1));
  EXPECT_FALSE(solve_knapsack(rows, std::nan("")));
  EXPECT_FALSE(solve_knapsack(Rows{{{1, 0}}, {}}, 1));
  EXPECT_FALSE(solve_knapsack(Rows{{{1, kInfinity}, {1, std::nan("")}}}, kInfinity));
}

TEST(Knapsack, ForbiddenOptionsAreNeverChosen) {
  const Rows rows{{{0, kInfinity}, {1, std::nan("")}, {7, 3}}};
  const auto found = solve_knapsack(rows, kInfinity);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->choice, Choice{2});
}

TEST(Knapsack, TiesGoToLessErrorAndThenToTheEarlierOption) {
  const Rows rows{{{3, 2}, {3, 1}, {3, 1}}, {{1, 0}, {1, 0}}};
  for (const KnapsackLimits& limits : {KnapsackLimits(), kBucketsOnly}) {
    const auto found = solve_knapsack(rows, 5, {}, limits);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->choice, (Choice{1, 0}));
  }
}

TEST(Knapsack, EqualRowsGiveTheSameAnswerEachTime) {
  const Rows rows(50, {{9, 0}, {5, 1}, {2, 2}, {1, 4}});
  const auto first = solve_knapsack(rows, 71, {}, kBucketsOnly), second = solve_knapsack(rows, 71, {}, kBucketsOnly);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->choice, second->choice);
  // From 9 the first unit of error saves 4 and the second 3: 21 rows at 2 units and 29 at 1, 21 * 2 + 29 * 5.
  EXPECT_EQ(first->cost, 187);
}

TEST(Knapsack, WithoutErrorsTheCheapestWins) {
  const auto found = solve_knapsack(Rows{{{4, 0}, {2, 0}, {3, 0}}, {{-1, 0}, {0, 0}}}, 0);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->choice, (Choice{1, 0}));
  EXPECT_EQ(found->cost, 1);
  EXPECT_TRUE(found->exact);
}

TEST(Knapsack, ABudgetOfZeroTakesWhatHasNoError) {
  const auto found = solve_knapsack(Rows{{{4, 0}, {2, 1e-300}}, {{8, 0}}}, 0, {}, kBucketsOnly);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->choice, (Choice{0, 0}));
}

TEST(Knapsack, BudgetsOfAnyMagnitude) {
  for (const double unit : {4 * std::numeric_limits<double>::denorm_min(), 0x1p-1000, 0x1p1000}) {
    const Rows rows(30, {{9, 0}, {5, unit}, {2, 2 * unit}});
    const auto found = solve_knapsack(rows, 31 * unit, {}, kBucketsOnly);
    ASSERT_TRUE(found);
    EXPECT_LE(found->error, 31 * unit);
    EXPECT_EQ(found->cost, 29 * 5 + 2);
  }
}

TEST(Knapsack, OneOptionOneRowAndNone) {
  const auto single = solve_knapsack(Rows{{{4, 3}}}, 3, Choice{0});
  ASSERT_TRUE(single);
  EXPECT_EQ(single->choice, Choice{0});
  const auto row = solve_knapsack(Rows{{{4, 1}, {3, 2}, {2, 3}}}, 2.5);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->choice, Choice{1});
  const auto none = solve_knapsack({}, 0);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->choice.empty());
}

TEST(Knapsack, AReferenceOverBudgetIsNotTaken) {
  const Rows rows{{{4, 1}, {0, 2}}};
  const auto found = solve_knapsack(rows, 1, Choice{1});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->choice, Choice{0});
}

}  // namespace
}  // namespace thinwire

// The multiple-choice knapsack: one option for each row, the least total cost whose total error stays within a budget.
//
//   minimise  sum over l of rows[l][choice[l]].cost     subject to  sum over l of rows[l][choice[l]].error <= budget
//
// Rows are layers, options are codecs, bit widths or pruning levels. NP-hard in general; two methods:
//
//   exact     Pareto fronts of (cost, error), row by row. Used when no front grows beyond `most_states`: always so where the product of
//             the options that are not dominated is small, such as 6 rows of 5.
//   buckets   a dynamic programme over the error in `buckets` steps of budget / buckets. O(rows * options * columns) time and
//             4 * rows * columns bytes, columns = buckets + rows / 2 + 1.
//
// Rounding. Errors rounded up make good assignments look infeasible, the reference included; rounded down they admit ones over budget.
// Here they are rounded to nearest and the table reaches rows / 2 columns beyond the budget: each row is rounded by at most half a step, so
// every assignment within the real budget lies inside the table, and its last column is a lower bound of the optimum. The table is walked
// back from there downwards; an assignment that is over budget in real terms (doubles, added in the order of rows) is repaired, and what
// budget is left is spent, both by single changes. The relaxed problem (base/knapsack_relaxation.h) gives one more assignment and one
// more bound, tight where rows are many; the best wins. So, whatever the rounding:
//
//   error <= budget, always;   cost <= cost of the reference, where that is within the budget;   bound <= cost of the optimum <= cost
//
// The same arguments give the same result on every machine: IEEE arithmetic in a fixed order, ties go to less error and then to the
// earlier option. Pure function; safe on several threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace thinwire {

struct KnapsackOption {
  double cost = 0;   // finite; may be negative
  double error = 0;  // >= 0; infinite or NaN: never chosen
};
using KnapsackRow = std::vector<KnapsackOption>;

struct KnapsackLimits {
  size_t buckets = 10'000;
  size_t most_states = 50'000;  // of a Pareto front before it is pruned; 0: buckets only
};

struct KnapsackResult {
  std::vector<uint32_t> choice;  // of each row
  double cost = 0, error = 0;    // sums in the order of rows
  double bound = 0;              // no assignment within the budget costs less, up to rounding of 1e-6 of the largest cost
  bool exact = false;            // the optimum
};

// Nothing when no assignment is within the budget (NaN: none ever is). `reference`: an assignment that the result should not cost more
// than; may be empty, may be over budget.
std::optional<KnapsackResult> solve_knapsack(std::span<const KnapsackRow> rows, double budget, std::span<const uint32_t> reference = {},
                                             const KnapsackLimits& limits = {});

}  // namespace thinwire

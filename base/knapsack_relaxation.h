// The knapsack of base/knapsack.h with options mixed in any proportion: its optimum is a lower bound, and it splits at most one row, so
// that giving up that split is a good assignment where rows are many (Sinha and Zoltners, "The Multiple-Choice Knapsack Problem", 1979).
#pragma once
#include <span>
#include <vector>

#include "base/knapsack.h"

namespace thinwire {

struct RelaxedKnapsack {
  std::vector<uint32_t> choice;  // within the budget as far as the rounding of sums allows
  double bound = 0;              // no assignment within the budget costs less
};

// Rows by rising error and falling cost, none empty; their first options together are within the budget. O(options log options).
RelaxedKnapsack solve_relaxed(std::span<const KnapsackRow> rows, double budget);

}  // namespace thinwire

// The bucketed dynamic programme of base/knapsack.h, which says why it rounds to nearest and reaches beyond the budget.
//
//   cost[l][e] = least cost of rows 0..l whose rounded errors add up to at most e
//              = min over options i of cost[l - 1][e - rounded(l, i)] + cost(l, i)
//
// Costs are kept as floats above the row's cheapest option. No back-pointers: the option of a cell is the first that reproduces its value
// to the bit, so that the inner loop is one add and one minimum, which compilers turn into vectors.
#pragma once
#include <span>
#include <vector>

#include "base/knapsack.h"

namespace thinwire {

class BucketTable {
 public:
  // Rows by rising error and falling cost, none empty, every error within the budget, which is finite and above 0. `rows` must outlive
  // the table.
  BucketTable(std::span<const KnapsackRow> rows, double budget, size_t buckets);

  // Walks back from the last column downwards, each cheaper than the next, until one is within the budget in real terms or there are
  // enough of them. The others are over budget by rounding only and want a repair.
  std::vector<std::vector<uint32_t>> cheapest_walks(double budget) const;

  double bound() const;  // no assignment within the budget costs less, up to the rounding of floats, which is taken off

 private:
  struct Step {
    size_t columns;  // the option's rounded error
    float cost;
  };
  void fill_row(size_t row);
  const float* row(size_t l) const { return table_.data() + l * columns_; }
  std::vector<uint32_t> walk_back(size_t column) const;

  std::span<const KnapsackRow> rows_;
  size_t columns_;
  double buckets_;
  double base_ = 0;  // sum of the rows' cheapest options
  std::vector<std::vector<Step>> steps_;
  std::vector<float> table_;
};

}  // namespace thinwire

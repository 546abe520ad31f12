#include "base/knapsack_buckets.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace thinwire {

namespace {

constexpr float kUnreachable = std::numeric_limits<float>::infinity();

// to[e] = min(to[e], from[e] + cost); the ranges do not overlap.
void relax(const float* __restrict from, float cost, float* __restrict to, size_t count) {
  for (size_t e = 0; e < count; ++e) {
    const float sum = from[e] + cost;
    to[e] = sum < to[e] ? sum : to[e];
  }
}

}  // namespace

BucketTable::BucketTable(std::span<const KnapsackRow> rows, double budget, size_t buckets)
    : rows_(rows),
      columns_(buckets + rows.size() / 2 + 2),  // one column more than the header's proof needs, for the rounding of error / step
      buckets_(static_cast<double>(buckets)),
      steps_(rows.size()),
      table_(rows.size() * columns_, kUnreachable) {
  for (size_t l = 0; l < rows.size(); ++l) {
    const double least_cost = rows[l].back().cost;
    base_ += least_cost;
    for (const KnapsackOption& option : rows[l]) {
      // The quotient first: it is at most 1, where a step of a tiny budget could round to 0.
      const double rounded = std::round(option.error / budget * buckets_);
      steps_[l].push_back({static_cast<size_t>(rounded), static_cast<float>(option.cost - least_cost)});
    }
    fill_row(l);
  }
}

void BucketTable::fill_row(size_t l) {
  float* to = table_.data() + l * columns_;
  if (l == 0) {
    for (const Step& option : steps_[0]) std::fill(to + option.columns, to + columns_, option.cost);
    return;
  }
  constexpr size_t kTile = 2048;  // floats: source and target of a tile stay in the first-level cache for all options
  for (size_t begin = 0; begin < columns_; begin += kTile) {
    const size_t end = std::min(begin + kTile, columns_);
    for (const Step& option : steps_[l]) {
      const size_t first = std::max(begin, option.columns);
      if (first < end) relax(row(l - 1) + first - option.columns, option.cost, to + first, end - first);
    }
  }
}

std::vector<uint32_t> BucketTable::walk_back(size_t column) const {
  std::vector<uint32_t> choice(rows_.size());
  for (size_t l = rows_.size(); l-- > 0;) {
    const float value = row(l)[column];
    const auto reproduces = [&](const Step& option) {
      if (option.columns > column) return false;
      return (l == 0 ? option.cost : row(l - 1)[column - option.columns] + option.cost) == value;
    };
    const auto found = std::ranges::find_if(steps_[l], reproduces);
    check(found != steps_[l].end(), "a reachable cell has an option");
    choice[l] = static_cast<uint32_t>(found - steps_[l].begin());
    column -= found->columns;
  }
  return choice;
}

std::vector<std::vector<uint32_t>> BucketTable::cheapest_walks(double budget) const {
  constexpr size_t kMostWalks = 4;
  const float* last = row(rows_.size() - 1);
  std::vector<std::vector<uint32_t>> walks;
  for (size_t column = columns_; column-- > 0 && walks.size() < kMostWalks;) {
    if (last[column] == kUnreachable) break;
    if (column > 0 && last[column] == last[column - 1]) continue;  // nothing costs less than one column before
    walks.push_back(walk_back(column));
    double error = 0;
    for (size_t l = 0; l < rows_.size(); ++l) error += rows_[l][walks.back()[l]].error;
    if (error <= budget) break;
    // Far over budget, the next columns are too: skip half of what is over.
    const double columns_over = (error - budget) / budget * buckets_;
    column -= static_cast<size_t>(std::min(static_cast<double>(column), columns_over / 2));
  }
  return walks;
}

double BucketTable::bound() const {
  // Each of the rows' sums and each cost was rounded by at most 2^-24 of itself.
  const double lossless = 1 - 0x1p-24 * static_cast<double>(2 * rows_.size());
  return base_ + lossless * static_cast<double>(row(rows_.size() - 1)[columns_ - 1]);
}

}  // namespace thinwire

#include "base/knapsack_relaxation.h"

#include <algorithm>

namespace thinwire {

namespace {

// From one corner of a row's convex hull to the next.
struct Step {
  uint32_t row, option;
  double saving, error;
  double efficiency() const { return saving / error; }
};

Step step_between(const KnapsackRow& row, uint32_t l, uint32_t from, uint32_t to) {
  return {l, to, row[from].cost - row[to].cost, row[to].error - row[from].error};
}

// The corners of the lower convex hull of cost over error: steps of falling efficiency.
void append_hull(const KnapsackRow& row, uint32_t l, std::vector<Step>& steps) {
  const size_t begin = steps.size();
  std::vector<uint32_t> corners{0};
  for (uint32_t i = 1; i < row.size(); ++i) {
    while (steps.size() > begin && steps.back().efficiency() <= step_between(row, l, corners.back(), i).efficiency()) {
      steps.pop_back();
      corners.pop_back();
    }
    steps.push_back(step_between(row, l, corners.back(), i));
    corners.push_back(i);
  }
}

}  // namespace

RelaxedKnapsack solve_relaxed(std::span<const KnapsackRow> rows, double budget) {
  RelaxedKnapsack result{std::vector<uint32_t>(rows.size(), 0), 0};
  std::vector<Step> steps;
  double left = budget;
  for (uint32_t l = 0; l < rows.size(); ++l) {
    left -= rows[l].front().error;
    result.bound += rows[l].front().cost;
    append_hull(rows[l], l, steps);
  }
  std::ranges::stable_sort(steps, [](const Step& a, const Step& b) { return a.efficiency() > b.efficiency(); });
  for (const Step& step : steps) {
    if (step.error > left) {
      result.bound -= step.efficiency() * std::max(left, 0.0);
      break;
    }
    left -= step.error;
    result.bound -= step.saving;
    result.choice[step.row] = step.option;
  }
  return result;
}

}  // namespace thinwire

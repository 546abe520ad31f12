// bench_knapsack: how long choosing an option for each layer takes on one core, against the least that its dynamic programme has to do:
// one pass over a row of the table for each layer and option, in a plain loop that the compiler vectorises.
#include "base/knapsack.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/draw.h"
#include "timing.h"

namespace thinwire::benchmarks {
namespace {

constexpr int kRounds = 5;

// Layers of different sizes whose error falls by a different power of the cost, as those of networks do: nothing is dominated.
std::vector<KnapsackRow> layers_like(size_t layers, size_t options) {
  const Draw draw(1);
  std::vector<KnapsackRow> rows(layers);
  for (size_t l = 0; l < layers; ++l) {
    const double elems = std::exp(3 * draw.normal(2 * l)) * 1e4, power = 0.5 + 2 * draw.uniform(2 * l + 1);
    for (size_t i = 0; i < options; ++i) {
      const double share = static_cast<double>(i + 1) / static_cast<double>(options);
      rows[l].push_back({std::ceil(elems * share), elems * std::pow(share, -power)});
    }
  }
  return rows;
}

// Of a row whose option `offset` columns of error dear costs `cost`: the least cost at each column.
void pass(std::vector<float>& best, const std::vector<float>& before, size_t offset, float cost) {
  for (size_t e = offset; e < best.size(); ++e) best[e] = std::min(best[e], before[e - offset] + cost);
}

bool run(size_t layers, size_t options) {
  const std::vector<KnapsackRow> rows = layers_like(layers, options);
  const std::vector<uint32_t> reference(layers, static_cast<uint32_t>(options / 10));
  double budget = 0;
  for (size_t l = 0; l < layers; ++l) budget += rows[l][reference[l]].error;
  std::optional<KnapsackResult> result;
  std::vector<float> best(KnapsackLimits{}.buckets, 1e30f);
  const std::vector<float> before(best.size(), 1.0f);
  const auto s = interleaved(
      kRounds, [&] { return seconds_of([&] { result = solve_knapsack(rows, budget, reference); }); },
      [&] {
        return seconds_of([&] {
          for (size_t i = 0; i < layers * options; ++i) pass(best, before, i % options, static_cast<float>(i));
        });
      });
  if (!result || result->error > budget) return false;
  fmt::print("knapsack, {} layers of {} options: {:.1f} ms, {:.2f} times the passes; costs {:.3f} % more than the bound\n", layers, options,
             1e3 * least(s[0]), least(s[0]) / least(s[1]), 100 * (result->cost / result->bound - 1));
  return best.back() < 1e30f;
}

int run() {
  stay_on_one_core();
  for (const auto [layers, options] : {std::array<size_t, 2>{43, 101}, {200, 57}, {1000, 57}}) {
    if (!run(layers, options)) {
      fmt::print(stderr, "no choice of {} layers is within the budget\n", layers);
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace thinwire::benchmarks

int main() { return thinwire::benchmarks::run(); }

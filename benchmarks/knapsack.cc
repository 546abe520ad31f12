// bench_knapsack: how long choosing an option for each layer takes on one core, against the least that its dynamic programme has to do:
// one pass over a row of the table for each layer and option, in a plain loop that the compiler vectorises.
#include "base/knapsack.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "tests/support/knapsack_layers.h"
#include "timing.h"

namespace thinwire::benchmarks {
namespace {

constexpr int kRounds = 5;

// An option whose error is `offset` columns and whose cost is `cost`: the least cost at each column with it.
void pass(std::vector<float>& best, const std::vector<float>& before, size_t offset, float cost) {
  for (size_t e = offset; e < best.size(); ++e) best[e] = std::min(best[e], before[e - offset] + cost);
}

bool run(size_t layers, size_t options) {
  const std::vector<KnapsackRow> rows = test::layers_like(1, layers, options);
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
  return best.back() < 1e30f;  // the passes are not optimised away
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

// Layers for the knapsack, as those of networks are: of different sizes, and error falls by a different power of the cost. Whole bytes, so
// that sums are exact.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/draw.h"
#include "base/knapsack.h"

namespace thinwire::test {

inline std::vector<KnapsackRow> layers_like(uint64_t seed, size_t layers, size_t options) {
  const Draw draw(seed);
  std::vector<KnapsackRow> rows(layers);
  for (size_t l = 0; l < layers; ++l) {
    const double elems = std::exp(3 * draw.normal(2 * l)) * 1e4, power = 0.5 + 2 * draw.uniform(2 * l + 1);
    for (size_t i = 0; i < options; ++i) {
      const double share = static_cast<double>(i + 1) / static_cast<double>(options);
      rows[l].push_back({std::ceil(elems * share), elems * std::pow(share, -power) * (1 + 0.1 * draw.uniform(1000 + l * options + i))});
    }
  }
  return rows;
}

}  // namespace thinwire::test

#include "compressors/topk/reference.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace thinwire::compressors {
namespace {

// Without their sign, the bits of floats order like the floats.
uint32_t magnitude(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffff; }

template <class Index>
void select(std::span<const float> values, std::span<uint32_t> magnitudes, std::span<Index> indices) {
  std::ranges::transform(values, magnitudes.begin(), magnitude);
  const auto last_kept = magnitudes.begin() + static_cast<std::ptrdiff_t>(indices.size()) - 1;
  std::nth_element(magnitudes.begin(), last_kept, magnitudes.end(), std::greater<>());
  const uint32_t threshold = *last_kept;

  // Everything above the threshold is kept; of what equals it, the first few that fill up the count.
  size_t ties_left = static_cast<size_t>(std::count(magnitudes.begin(), last_kept + 1, threshold));
  size_t found = 0;
  for (size_t i = 0; found < indices.size(); ++i) {
    const uint32_t m = magnitude(values[i]);
    if (m < threshold) continue;
    if (m == threshold) {
      if (ties_left == 0) continue;
      --ties_left;
    }
    indices[found++] = static_cast<Index>(i);
  }
}

}  // namespace

void select_largest(std::span<const float> values, std::span<uint32_t> magnitudes, std::span<uint16_t> indices) {
  select(values, magnitudes, indices);
}
void select_largest(std::span<const float> values, std::span<uint32_t> magnitudes, std::span<uint32_t> indices) {
  select(values, magnitudes, indices);
}

}  // namespace thinwire::compressors

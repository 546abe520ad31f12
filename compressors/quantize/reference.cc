#include "compressors/quantize/reference.h"

#include <algorithm>

#include "compressors/guards.h"

namespace thinwire::compressors::quantize_reference {

Ends ends_of(std::span<const float> a) {
  const auto [min, max] = std::ranges::minmax(a);
  return {.min = min + 0.0f, .max = max + 0.0f};  // -0 + 0 = +0
}

void draw_bits(const Draw& draw, uint64_t first_elem, std::span<uint16_t> bits) {
  for (size_t i = 0; i < bits.size(); i += 8) {
    const auto words = draw.words((first_elem + i) / 8);
    for (size_t j = 0; j < std::min<size_t>(8, bits.size() - i); ++j) bits[i + j] = static_cast<uint16_t>(words[j / 2] >> 16 * (j % 2));
  }
}

void quantize(const Grid& grid, std::span<const uint16_t> draws, std::span<const float> a, std::span<uint8_t> levels, float* left) {
  for (size_t i = 0; i < a.size(); ++i) {
    levels[i] = grid.level(a[i], draws.empty() ? 0.5 : dither_of(draws[i]));
    if (left != nullptr) left[i] = left_of(a[i], grid.value(levels[i]));
  }
}

void add_values(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out) {
  for (size_t i = 0; i < levels.size(); ++i) out[i] += weight * grid.value(levels[i]);
}

}  // namespace thinwire::compressors::quantize_reference

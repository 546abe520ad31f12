#include "compressors/sign/reference.h"

#include <algorithm>
#include <cmath>

#include "compressors/lane_sum.h"

namespace thinwire::compressors::sign_reference {
namespace {

template <class Holds>
void write_bits(std::span<const float> a, std::byte* out, const Holds& holds) {
  std::fill_n(out, (a.size() + 7) / 8, std::byte{0});
  for (size_t i = 0; i < a.size(); ++i) {
    if (holds(a[i])) out[i / 8] |= std::byte{1} << (i % 8);
  }
}

bool bit(const std::byte* bits, size_t i) { return (bits[i / 8] >> (i % 8) & std::byte{1}) != std::byte{0}; }

}  // namespace

Magnitudes magnitudes_of(std::span<const float> a) {
  LaneSum sum;
  size_t nonzero = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum.add(i, std::fabs(a[i]));
    nonzero += a[i] != 0 ? 1 : 0;
  }
  return {.sum = sum.total(), .nonzero = nonzero};
}

void zero_bits(std::span<const float> a, std::byte* zeros) {
  write_bits(a, zeros, [](float value) { return value == 0; });
}

void sign_bits(float scale, std::span<float> a, std::byte* signs) {
  write_bits(a, signs, [](float value) { return value < 0; });
  for (float& value : a) {
    if (value != 0) value -= value < 0 ? -scale : scale;
  }
}

void add_values(float scale, const std::byte* signs, const std::byte* zeros, float weight, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const bool is_zero = zeros != nullptr && bit(zeros, i);
    const float value = is_zero ? 0.0f : bit(signs, i) ? -scale : scale;
    out[i] += weight * value;
  }
}

}  // namespace thinwire::compressors::sign_reference

// What the sign codec does element by element, in plain C++: the oracle of the kernels, and the definition of what is sent.
//
// Bits of elements: element i is bit i % 8 of byte i / 8; the bits behind the last element are 0.
#pragma once
#include <cstddef>
#include <span>

namespace thinwire::compressors::sign_reference {

struct Magnitudes {
  double sum = 0;      // of |a|, added as LaneSum says
  size_t nonzero = 0;  // elements that are neither 0 nor -0
};
Magnitudes magnitudes_of(std::span<const float> a);

// A bit for each element that is 0 or -0.
void zero_bits(std::span<const float> a, std::byte* zeros);

// A bit for each element below 0. The elements then keep what is not sent: a -= scale for those above 0, a += scale for those below.
void sign_bits(float scale, std::span<float> a, std::byte* signs);

// out += weight * value, where value is 0 at a bit of `zeros` (none with nullptr), else -scale at a bit of `signs`, else scale.
void add_values(float scale, const std::byte* signs, const std::byte* zeros, float weight, std::span<float> out);

}  // namespace thinwire::compressors::sign_reference

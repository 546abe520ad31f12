// The choice that top-k makes, in plain C++: the oracle for the kernels, and the definition of what is sent.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace thinwire::compressors {

// How many of `elems` elements are kept: max(1, round(density * elems)), halves rounded up, the product a double. elems >= 1.
inline size_t kept_of(double density, size_t elems) {
  return std::max<size_t>(1, static_cast<size_t>(std::round(density * static_cast<double>(elems))));
}

// Indices of the indices.size() elements of largest magnitude, ascending; among equal magnitudes the lower index wins. So the choice is one
// and the same on every machine. 0 and -0 are equal. No NaN; 1 <= indices.size() <= values.size() <= 2^16 or 2^32, what indices hold;
// magnitudes is scratch of the size of values.
void select_largest(std::span<const float> values, std::span<uint32_t> magnitudes, std::span<uint16_t> indices);
void select_largest(std::span<const float> values, std::span<uint32_t> magnitudes, std::span<uint32_t> indices);

}  // namespace thinwire::compressors

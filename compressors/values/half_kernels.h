// ScaledHalf, vectorised (Highway, chosen at run time): bit for bit what scaled_half.h says. Bytes need no alignment.
#pragma once
#include <span>

#include "base/bytes.h"

namespace thinwire::compressors::half_kernels {

// ScaledHalf(exponent).encode of each value to 2 bytes, little-endian; value -= what they decode to.
void encode(std::span<float> values, int exponent, std::byte* out);

// ScaledHalf(exponent).decode of each; halves has 2 * values.size() bytes, none above kMostMagnitude.
void decode(const std::byte* halves, int exponent, std::span<float> values);

}  // namespace thinwire::compressors::half_kernels

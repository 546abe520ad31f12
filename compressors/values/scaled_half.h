// fp16 values that share a power of two, so that small numbers keep their 11 bits.
//
// Plain fp16 flushes everything below 6e-8 to zero, and drifts of parameters may well be 1e-8. So each chunk states an exponent e, and a
// half h stands for h * 2^e. e puts the chunk's largest magnitude into [2^14, 2^15):
//
//   a value within 2^-28 of the largest is a normal half          error at most 2^-11 |a|
//   a smaller one is a subnormal half, a multiple of 2^-24 * 2^e  error at most 2^-25 * 2^e <= 2^-39 of the largest
//
// e is at least -128, to fit a byte. That is low enough: fp32 denormals are multiples of 2^-149, which 2^-24 * 2^-128 divides.
// Halves stop at 2^15 - 16, so that the largest fp32 decodes to a finite value; this too is within 2^-11 |a|.
#pragma once
#include <bit>
#include <cstdint>

#include "base/dtype.h"

namespace thinwire::compressors {

class ScaledHalf {
 public:
  static constexpr int kLeastExponent = -128;
  static constexpr int kMostExponent = 113;           // the largest fp32 is just below 2^(15 + 113)
  static constexpr uint16_t kMostMagnitude = 0x77ff;  // 2^15 - 16

  // For a chunk whose largest magnitude is this (finite).
  static constexpr int exponent_for(float largest) {
    const int exponent = static_cast<int>(std::bit_cast<uint32_t>(largest) >> 23) - 127 - 14;  // a denormal's is below the least anyway
    if (largest == 0) return 0;
    return exponent < kLeastExponent ? kLeastExponent : exponent;  // std::max would take the address of what a device has not
  }

  // Both factors are powers of two within double's range: the products below are exact.
  explicit constexpr ScaledHalf(int exponent) : up_(power_of_two(exponent)), down_(power_of_two(-exponent)) {}

  // Round to nearest even. |value| < 2^15 * 2^exponent.
  constexpr uint16_t encode(float value) const {
    const uint16_t half = to_f16(static_cast<float>(value * down_));
    return (half & 0x7fff) > kMostMagnitude ? static_cast<uint16_t>(half - 1) : half;
  }
  constexpr float decode(uint16_t half) const { return static_cast<float>(from_f16(half) * up_); }

 private:
  static constexpr double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52); }

  double up_, down_;
};

}  // namespace thinwire::compressors

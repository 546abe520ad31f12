// The evenly spaced values that the levels of a bucket stand for, and the level that an element takes.
//
//   value(level) = fp32((level - zero) * unit + low)           level(a) = floor((a - low) * per_unit + (zero + dither))
//
// all in double, each operation rounded by itself, so that no range overflows and no unit is lost among the denormals. `dither` in (0, 1)
// is 1/2 for rounding to nearest (ties go up).
//
//   minmax  low = min, zero = 0, unit = (max - min) / (2^bits - 1): levels 0 to 2^bits - 1, of which the first decodes to min
//   qsgd    low = 0, unit = scale / s, zero = s = 2^(bits-1) - 1: levels 0 to 2 s stand for sign and magnitude -s to s
//
// Levels stay in range without being clamped: (a - low) * per_unit is at most the top level times 1 + 2^-51, and dither is below
// 1 - 2^-17. Values are finite: they exceed max, or the scale, by less than 2^-50 of the range, and the largest fp32 absorbs that.
#pragma once
#include <cstdint>

namespace thinwire::compressors {

struct Grid {
  double low = 0, zero = 0, unit = 0, per_unit = 0;
  int count = 0;  // levels are below this

  static constexpr Grid between(float min, float max, int bits) {
    const double top = (1 << bits) - 1, range = static_cast<double>(max) - min;
    return {.low = min, .zero = 0, .unit = range / top, .per_unit = range > 0 ? top / range : 0, .count = 1 << bits};
  }
  static constexpr Grid around_zero(float scale, int bits) {
    const double most = (1 << (bits - 1)) - 1;
    return {.low = 0, .zero = most, .unit = scale / most, .per_unit = scale > 0 ? most / scale : 0, .count = 1 << bits};
  }

  constexpr uint8_t level(float a, double dither) const { return static_cast<uint8_t>((a - low) * per_unit + (zero + dither)); }
  constexpr float value(uint8_t level) const { return static_cast<float>((level - zero) * unit + low); }
};

// 16 random bits as a dither: the midpoints of 2^16 equal parts of (0, 1). Rounding is unbiased up to 2^-17 of a unit, and what lies on a
// level stays there although its position is rounded.
constexpr double dither_of(uint16_t draw) { return (draw + 0.5) * 0x1p-16; }

}  // namespace thinwire::compressors

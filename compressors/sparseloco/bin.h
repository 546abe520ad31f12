// The arithmetic of SparseLoCo's bins (bins.h), for the host and for kernels: constexpr, so that a device runs these very lines.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

namespace thinwire::compressors {

inline constexpr size_t kMostBins = 256;

// Where values fall.
struct BinGrid {
  static constexpr BinGrid of(double shift, double sigma, double bins) {
    const double width = 6 * sigma / bins;
    return {.shift = shift, .scale = width > 0 ? width : 1, .bins = bins};
  }
  constexpr double place(float value) const { return (value - shift) / scale + bins / 2; }
  constexpr uint8_t code(double rounded_place) const { return static_cast<uint8_t>(std::clamp(rounded_place, 0.0, bins - 1)); }

  double shift = 0, scale = 1, bins = 0;
};

// What falls into one.
struct Bin {
  constexpr void add(float value) {
    sum += value;
    magnitudes += value < 0 ? -value : value;
    count += 1;
  }
  constexpr Bin& operator+=(const Bin& other) {
    sum += other.sum;
    magnitudes += other.magnitudes;
    count += other.count;
    return *this;
  }
  constexpr float level() const {
    constexpr double kCancelled = 0x1p-20, kLargest = std::numeric_limits<float>::max();
    if ((sum < 0 ? -sum : sum) < kCancelled * magnitudes || count == 0) return 0;
    return static_cast<float>(std::clamp(sum / count, -kLargest, kLargest));
  }

  double sum = 0, magnitudes = 0, count = 0;
};

}  // namespace thinwire::compressors

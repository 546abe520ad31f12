#include "compressors/sparseloco/bins.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace thinwire::compressors {
namespace {

constexpr double kSigmasAcrossBins = 6;
constexpr double kCancelled = 0x1p-20;

struct Bin {
  double sum = 0, magnitudes = 0, count = 0;

  float level() const {
    if (std::fabs(sum) < kCancelled * magnitudes || count == 0) return 0;
    constexpr double kLargest = std::numeric_limits<float>::max();
    return static_cast<float>(std::clamp(sum / count, -kLargest, kLargest));
  }
};

}  // namespace

void fit_bins(std::span<const float> values, std::span<float> levels, std::span<uint8_t> codes) {
  const double n = static_cast<double>(values.size()), bins = static_cast<double>(levels.size());
  double sum = 0;
  for (const float value : values) sum += value;
  const double shift = sum / n;
  double squares = 0;
  for (const float value : values) squares += (value - shift) * (value - shift);
  const double width = kSigmasAcrossBins * std::sqrt(squares / (n - 1)) / bins;
  const double scale = width > 0 ? width : 1;

  std::array<Bin, 256> sums;
  for (size_t i = 0; i < values.size(); ++i) {
    const double place = std::nearbyint((values[i] - shift) / scale + bins / 2);
    codes[i] = static_cast<uint8_t>(std::clamp(place, 0.0, bins - 1));
    Bin& bin = sums[codes[i]];
    bin.sum += values[i];
    bin.magnitudes += std::fabs(values[i]);
    bin.count += 1;
  }
  std::transform(sums.begin(), sums.begin() + static_cast<std::ptrdiff_t>(levels.size()), levels.begin(),
                 [](const Bin& bin) { return bin.level(); });
}

}  // namespace thinwire::compressors

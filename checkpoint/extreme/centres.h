// Numbers as one of 16 centres: centre 0 for those that are pruned, and 15 that k-means finds for the rest. Only the encoder chooses: what
// it chose is stored, so that decoding repeats none of it. It adds, multiplies, divides and takes square roots in double, in one order, so
// that it chooses the same everywhere.
#pragma once
#include <array>
#include <cstdint>
#include <span>

namespace thinwire::checkpoint::extreme {

inline constexpr size_t kCentres = 16;
using Centres = std::array<uint16_t, kCentres>;  // bf16; those from 1 on ascend

// The least magnitude that stays: `times` the median of the magnitudes.
float threshold_by_median(std::span<const float> values, double times);
// ... the mean of the magnitudes.
float threshold_by_mean(std::span<const float> values, double times);

enum class Spacing : uint8_t {
  values,  // least squares
  roots,   // least squares of square roots: second moments, which a step divides by the root of. A centre is the mean of its values
};
// Of values[i] where stays[i] is not 0, all finite, and not negative for roots: indices[i] becomes 1 to 15, the nearest centre, and 0
// elsewhere. Centre 0 becomes `pruned`, in bf16; no centre of a positive mean becomes 0.
Centres find_centres(std::span<const float> values, std::span<const uint8_t> stays, Spacing spacing, float pruned,
                     std::span<uint8_t> indices);

}  // namespace thinwire::checkpoint::extreme

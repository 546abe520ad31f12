// A sum in double whose rounding does not depend on the machine: 16 partial sums, then a fixed tree.
//
//   partial[j] = sum of the terms i = j, j + 16, j + 32, ... in order
//   total      = partial[j] += partial[j + 8] for j < 8, then + 4 for j < 4, then + 2, then + 1; partial[0]
//
// So vectors of up to 16 lanes add as plain C++ does.
#pragma once
#include <array>
#include <cstddef>
#include <span>

namespace thinwire::compressors {

struct LaneSum {
  static constexpr size_t kLanes = 16;
  std::array<double, kLanes> partial{};

  void add(size_t i, double term) { partial[i % kLanes] += term; }
  double total() const {
    std::array<double, kLanes> sums = partial;
    for (size_t width = kLanes / 2; width > 0; width /= 2) {
      for (size_t j = 0; j < width; ++j) sums[j] += sums[j + width];
    }
    return sums[0];
  }
};

// The sum of the squares. Vectorised, to the same bit: dense_kernels.h.
inline double square_sum(std::span<const float> a) {
  LaneSum sum;
  for (size_t i = 0; i < a.size(); ++i) sum.add(i, static_cast<double>(a[i]) * a[i]);
  return sum.total();
}

}  // namespace thinwire::compressors

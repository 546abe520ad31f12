#include "compressors/lowrank/reference.h"

#include <algorithm>
#include <limits>

namespace thinwire::compressors::lowrank {

float sum_of_lanes(float* lanes) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

namespace reference {

void times(Matrix m, const float* q, size_t rank, float* p) {
  for (size_t j = 0; j < rank; ++j) {
    for (size_t i = 0; i < m.rows; ++i) {
      float lanes[kLanes] = {};
      for (size_t c = 0; c < m.cols; ++c) lanes[c % kLanes] += m.at[i * m.cols + c] * q[j * m.cols + c];
      p[j * m.rows + i] = sum_of_lanes(lanes);
    }
  }
}

void transposed_times(Matrix m, const float* p, size_t rank, float* q) {
  std::fill(q, q + rank * m.cols, 0.0f);
  for (size_t i = 0; i < m.rows; ++i) {
    for (size_t j = 0; j < rank; ++j) {
      for (size_t c = 0; c < m.cols; ++c) q[j * m.cols + c] += m.at[i * m.cols + c] * p[j * m.rows + i];
    }
  }
}

void add_product(const Product& product, float weight, size_t rows, size_t cols, float* out) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (size_t i = 0; i < rows; ++i) {
    for (size_t c = 0; c < cols; ++c) {
      float sum = 0;
      for (size_t j = 0; j < product.rank; ++j) sum += product.p_scale * product.p[j * rows + i] * product.q[j * cols + c];
      out[i * cols + c] += weight * std::clamp(product.scale * sum, -kLargest, kLargest);
    }
  }
}

}  // namespace reference
}  // namespace thinwire::compressors::lowrank

#include "memory_floor.h"

namespace thinwire::benchmarks {

void stream_encode(const float* __restrict x, float* __restrict residual, size_t elems) {
  for (size_t i = 0; i < elems; ++i) residual[i] = 0.95f * residual[i] + x[i];
}

void stream_decode(float* out, size_t elems) {
  for (size_t i = 0; i < elems; ++i) out[i] = 0.5f * out[i];
}

float stream_read(const float* x, size_t elems) {
  constexpr size_t kLanes = 64;
  float lanes[kLanes] = {};
  for (size_t i = 0; i + kLanes <= elems; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j];
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace thinwire::benchmarks

// For the host's half of every kernel, in whatever room: on which stream it is launched, on how many blocks, and whether the driver took it.
#pragma once
#include <cuda_runtime.h>

#include "base/check.h"
#include "base/cuda/runtime.h"

namespace thinwire::cuda {

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream); }

// A launch that the driver refuses says so at once.
inline void require_launched(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) throw DeviceError(kernel, cudaGetErrorString(status));
}

constexpr size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// Blocks of a grid, of which each does `each` of `total`.
inline unsigned grid_for(size_t total, size_t each) {
  const size_t blocks = ceil_div(total, each);
  check(blocks <= 0x7fffffff, "the work fits into one grid");
  return static_cast<unsigned>(blocks);
}

}  // namespace thinwire::cuda

// For the host's half of the kernels: what every call begins with, how scratch is cut, and how a launch is checked.
#pragma once
#include <cuda_runtime.h>

#include "base/check.h"
#include "compressors/device/elements.cuh"

namespace thinwire::compressors::device {

inline cudaStream_t stream_of(const DeviceContext& context) { return static_cast<cudaStream_t>(context.stream); }

// A launch that the driver refuses says so at once.
inline void require_launched(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) throw cuda::DeviceError(kernel, cudaGetErrorString(status));
}

constexpr size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// Blocks of a grid, of which each does `each` of `total`.
inline unsigned grid_for(size_t total, size_t each) {
  const size_t blocks = ceil_div(total, each);
  check(blocks <= 0x7fffffff, "a layer fits into one grid");
  return static_cast<unsigned>(blocks);
}

// The report of a call that is about to begin: its payload has this length, and there is no fault, or one at 0.
void begin(const DeviceContext& context, size_t payload_bytes, bool is_refused = false);

// As begin(), for an encode; and in place, all of a is looked at before anything is written.
void begin_encode(const Sum& sum, size_t elems, size_t payload_bytes, const DeviceContext& context);

// Cuts scratch, 16 bytes aligned. Without memory it only counts.
class Scratch {
 public:
  explicit Scratch(std::byte* memory = nullptr) : memory_(memory) {}
  template <class T>
  T* take(size_t count) {
    std::byte* at = memory_ == nullptr ? nullptr : memory_ + bytes_;
    bytes_ += ceil_div(count * sizeof(T), 16) * 16;
    return reinterpret_cast<T*>(at);
  }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  size_t bytes_ = 0;
};

}  // namespace thinwire::compressors::device

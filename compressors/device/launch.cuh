// For the host's half of the kernels: what every call begins with, and how scratch is cut.
#pragma once
#include "base/cuda/launch.cuh"
#include "compressors/device/elements.cuh"

namespace thinwire::compressors::device {

inline cudaStream_t stream_of(const DeviceContext& context) { return cuda::native(context.stream); }

using cuda::ceil_div;
using cuda::grid_for;
using cuda::require_launched;

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

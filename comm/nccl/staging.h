// Memory through which host buffers travel: pinned, so that copies run beside everything else, and its double on the device. Internal to
// nccl.
//
// It only ever grows. Not thread-safe.
#pragma once
#include <cstddef>

#include "base/cuda/runtime.h"

namespace thinwire::comm {

class Staging {
 public:
  explicit Staging(cuda::Runtime& runtime) : runtime_(runtime) {}
  ~Staging() { release(); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  static size_t rounded(size_t num_bytes) { return (num_bytes + kAlign - 1) / kAlign * kAlign; }  // so that parts lie at aligned offsets

  // What was in it is gone when it grows: nothing may be under way.
  void reserve(size_t num_bytes) {
    if (num_bytes <= size_bytes_) return;
    release();
    host_ = static_cast<std::byte*>(runtime_.allocate_host(num_bytes));
    device_ = static_cast<std::byte*>(runtime_.allocate(num_bytes));
    size_bytes_ = num_bytes;
  }
  std::byte* host(size_t offset_bytes) const { return host_ + offset_bytes; }
  std::byte* device(size_t offset_bytes) const { return device_ + offset_bytes; }

  // The device may never let go of it: it is left to the end of the process.
  void abandon() { host_ = device_ = nullptr; }

 private:
  static constexpr size_t kAlign = 256;
  void release() noexcept {
    if (host_ != nullptr) runtime_.free_host(host_);
    if (device_ != nullptr) runtime_.free(device_);
    host_ = device_ = nullptr;
    size_bytes_ = 0;
  }

  cuda::Runtime& runtime_;
  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace thinwire::comm

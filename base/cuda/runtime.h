// The calls of the CUDA runtime that Thinwire makes, behind a seam: what waits for a device is written and tested without one.
//
// The real one lives in the CUDA module (module.h); tests give their own, which delays, fails or hangs each call. Every failure of the
// device is a DeviceError that names the call. Thread-safe, but for what is said of streams: work put on one stream runs in that order.
// Pointers are to device memory, unless a name says host.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace thinwire::cuda {

using Stream = void*;  // a cudaStream_t
using Event = void*;   // a cudaEvent_t, without timing

struct DeviceError : Error {
  DeviceError(const std::string& call, const std::string& why, bool out_of_memory = false)
      : Error(out_of_memory ? ExitCode::out_of_memory : ExitCode::other, call + " failed: " + why) {}
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual int num_devices() = 0;             // 0 also where no driver is installed
  virtual std::string name(int device) = 0;  // "NVIDIA H100 80GB HBM3, sm_90"
  virtual uint64_t memory_bytes(int device) = 0;
  std::string describe(int device);  // both, for people; the program's, not the module's
  virtual void use(int device) = 0;  // on this thread, for all calls that follow

  virtual void* allocate(size_t num_bytes) = 0;
  virtual void* allocate_host(size_t num_bytes) = 0;  // pinned: copies to and from it run beside the device's work
  virtual void free(void* memory) noexcept = 0;
  virtual void free_host(void* host_memory) noexcept = 0;

  virtual Stream make_stream() = 0;  // does not wait for the default stream
  virtual void destroy_stream(Stream stream) noexcept = 0;
  virtual Event make_event() = 0;
  virtual void destroy_event(Event event) noexcept = 0;
  virtual void record(Event event, Stream stream) = 0;
  virtual void wait(Stream stream, Event event) = 0;  // of the stream, not of the caller
  virtual bool is_done(Event event) = 0;              // all work in front of its last record(); does not wait

  virtual void copy(void* to, const void* from, size_t num_bytes, Stream stream) = 0;  // between any two places
  virtual void zero(void* memory, size_t num_bytes, Stream stream) = 0;
};

}  // namespace thinwire::cuda

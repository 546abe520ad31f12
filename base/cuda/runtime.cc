// In the CUDA module: the runtime itself.
#include "base/cuda/runtime.h"

#include <cuda_runtime.h>

#include "base/cuda/build_id.h"

namespace thinwire::cuda {

namespace {

void require(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  throw DeviceError(call, cudaGetErrorString(status), status == cudaErrorMemoryAllocation);
}

cudaDeviceProp properties_of(int device) {
  cudaDeviceProp properties;
  require(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties;
}

cudaStream_t of(Stream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(Event event) { return static_cast<cudaEvent_t>(event); }

class RealRuntime final : public Runtime {
 public:
  int num_devices() override {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
  }
  std::string name(int device) override {
    const cudaDeviceProp properties = properties_of(device);
    return std::string(properties.name) + ", sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
  }
  uint64_t memory_bytes(int device) override { return properties_of(device).totalGlobalMem; }
  void use(int device) override { require(cudaSetDevice(device), "cudaSetDevice"); }

  void* allocate(size_t num_bytes) override {
    void* memory = nullptr;
    require(cudaMalloc(&memory, num_bytes), "cudaMalloc");
    return memory;
  }
  void* allocate_host(size_t num_bytes) override {
    void* memory = nullptr;
    require(cudaMallocHost(&memory, num_bytes), "cudaMallocHost");
    return memory;
  }
  void free(void* memory) noexcept override { cudaFree(memory); }
  void free_host(void* host_memory) noexcept override { cudaFreeHost(host_memory); }

  Stream make_stream() override {
    cudaStream_t stream = nullptr;
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    return stream;
  }
  void destroy_stream(Stream stream) noexcept override { cudaStreamDestroy(of(stream)); }
  Event make_event() override {
    cudaEvent_t event = nullptr;
    require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
    return event;
  }
  void destroy_event(Event event) noexcept override { cudaEventDestroy(event_of(event)); }
  void record(Event event, Stream stream) override { require(cudaEventRecord(event_of(event), of(stream)), "cudaEventRecord"); }
  void wait(Stream stream, Event event) override { require(cudaStreamWaitEvent(of(stream), event_of(event), 0), "cudaStreamWaitEvent"); }
  bool is_done(Event event) override {
    const cudaError_t status = cudaEventQuery(event_of(event));
    if (status == cudaErrorNotReady) return false;
    require(status, "cudaEventQuery");
    return true;
  }

  void copy(void* to, const void* from, size_t num_bytes, Stream stream) override {
    require(cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyDefault, of(stream)), "cudaMemcpyAsync");
  }
  void zero(void* memory, size_t num_bytes, Stream stream) override {
    require(cudaMemsetAsync(memory, 0, num_bytes, of(stream)), "cudaMemsetAsync");
  }
};

}  // namespace

}  // namespace thinwire::cuda

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_build() { return thinwire::cuda::kBuildId; }

extern "C" [[gnu::visibility("default")]] const void* thinwire_cuda_runtime() {
  static thinwire::cuda::RealRuntime runtime;
  return &runtime;
}

// A residence in the memory of a GPU, by the seams of the CUDA runtime, of our kernels and of the codecs' device halves: the real ones, or
// those of tests.
#pragma once
#include <functional>
#include <mutex>
#include <vector>

#include "base/cuda/runtime.h"
#include "compressors/device_codec.h"
#include "exchange/device/kernels.h"
#include "exchange/residence.h"

namespace thinwire::exchange {

struct Machine {
  cuda::Runtime& runtime;
  const Kernels& kernels;
  int device = 0;
  std::function<cuda::Stream()> current_stream;                                               // that the calling thread computes on
  std::function<std::unique_ptr<compressors::DeviceCodec>(const compressors::Codec&)> codec;  // its device half; null: it has none
};

// Waits until all work in front of the event's last record() is done. DeviceError when that takes ten minutes.
void wait_for(cuda::Runtime& runtime, cuda::Event event);

class DeviceMark final : public Mark {
 public:
  explicit DeviceMark(DeviceResidence& home);
  ~DeviceMark() override;
  DeviceMark(const DeviceMark&) = delete;
  DeviceMark& operator=(const DeviceMark&) = delete;
  void set() override;
  void wait() override;
  cuda::Event event() const { return event_; }

 private:
  DeviceResidence& home_;
  cuda::Event event_;
};

class DeviceResidence final : public Residence {
 public:
  explicit DeviceResidence(Machine machine);
  ~DeviceResidence() override;
  DeviceResidence(const DeviceResidence&) = delete;
  DeviceResidence& operator=(const DeviceResidence&) = delete;

  const Machine& machine() const { return machine_; }
  DeviceResidence* device() override { return this; }

  float* allocate(size_t elems) override;
  void free(float* memory) noexcept override;  // once the calling thread's work is done
  std::unique_ptr<Mark> make_mark() override { return std::make_unique<DeviceMark>(*this); }

  void zero(std::span<float> x) override;
  void copy(float* to, std::span<const float> from) override;
  void scale(std::span<float> x, float factor) override;
  void subtract(std::span<float> out, const float* a, const float* b) override;
  void apply_outer(std::span<float> anchor, const float* mean, float* momentum, OuterRule rule) override;
  void follow(std::span<float> parameter, const float* anchor, const float* departed) override;

  void fetch(MutableBytes to_host, const void* from) override;
  void store(void* to, ConstBytes from_host) override;
  double square_sum(std::span<const float> x) override;
  void finish() override;

  cuda::Stream stream() const;  // of the calling thread, whose device this becomes

 private:
  static constexpr size_t kSumsBytes = 256;
  struct Beside {  // what a crossing needs, one for each that is under way
    cuda::Stream stream;
    cuda::Event event;
    double* sums;  // on the device, in front of the scratch of sums
  };
  Beside take_beside();
  void give_back(Beside beside);
  template <class Work>
  void beside(Work&& work);

  Machine machine_;
  std::mutex mutex_;
  std::vector<Beside> all_, idle_;
};

}  // namespace thinwire::exchange

// An exchange::Machine without a device: the host's codecs and loops at work on the streams of a LateRuntime. What the exchange does on a
// GPU is tested with it where there is none.
#pragma once
#include <memory>

#include "compressors/dense_kernels.h"
#include "exchange/device/residence.h"
#include "exchange/norms.h"
#include "hosted_codec.h"
#include "late_runtime.h"

namespace thinwire::testing {

class HostedKernels final : public exchange::Kernels {
 public:
  explicit HostedKernels(LateRuntime& runtime) : runtime_(runtime) {}

  void scale(float* x, size_t elems, float factor, cuda::Stream stream) const override {
    runtime_.post(stream, [=] { exchange::host_residence().scale({x, elems}, factor); });
  }
  void subtract(float* out, const float* a, const float* b, size_t elems, cuda::Stream stream) const override {
    runtime_.post(stream, [=] { exchange::host_residence().subtract({out, elems}, a, b); });
  }
  void apply_outer(float* anchor, const float* mean, float* momentum, size_t elems, exchange::OuterRule rule,
                   cuda::Stream stream) const override {
    runtime_.post(stream, [=] { exchange::host_residence().apply_outer({anchor, elems}, mean, momentum, rule); });
  }
  void follow(float* parameter, const float* anchor, const float* departed, size_t elems, cuda::Stream stream) const override {
    runtime_.post(stream, [=] { exchange::host_residence().follow({parameter, elems}, anchor, departed); });
  }
  size_t squares_scratch_bytes() const override { return 64; }
  void squares(const compressors::In& in, size_t elems, double* sums, std::byte*, cuda::Stream stream) const override {
    runtime_.post(stream, [=] {
      const exchange::Squares squares = exchange::squares_of(in, elems);
      sums[0] = squares.input;
      sums[1] = squares.offered;
    });
  }
  void square_sum(const float* x, size_t elems, double* sums, std::byte*, cuda::Stream stream) const override {
    runtime_.post(stream, [=] { sums[0] = compressors::dense_kernels::square_sum({x, elems}); });
  }

 private:
  LateRuntime& runtime_;
};

// A rank's device. `has_kernels(codec)`: whether it has a half there.
class HostedMachine {
 public:
  using HasKernels = std::function<bool(const compressors::Codec&)>;
  explicit HostedMachine(
      uint64_t seed, HasKernels has_kernels = [](const auto&) { return true; })
      : runtime_(seed), kernels_(runtime_), stream_(runtime_.make_stream()), has_kernels_(std::move(has_kernels)) {}

  exchange::Machine machine() {
    return {.runtime = runtime_,
            .kernels = kernels_,
            .device = 0,
            .current_stream = [this] { return stream_; },
            .codec = [this](const compressors::Codec& codec) -> std::unique_ptr<compressors::DeviceCodec> {
              if (!has_kernels_(codec)) return nullptr;
              // Whoever gave the codec keeps it.
              return std::make_unique<HostedCodec>(std::shared_ptr<const compressors::Codec>(std::shared_ptr<void>(), &codec), runtime_);
            }};
  }

 private:
  LateRuntime runtime_;
  HostedKernels kernels_;
  cuda::Stream stream_;
  HasKernels has_kernels_;
};

}  // namespace thinwire::testing

#include "trainer/residence.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <optional>

#include "base/check.h"
#include "base/cuda/module.h"
#include "exchange/attach.h"
#include "exchange/device/residence.h"

namespace thinwire::trainer {

namespace {

c10::Stream current_stream(const c10::Device& device) { return c10::impl::VirtualGuardImpl(device.type()).getStream(device); }

class TorchMark final : public exchange::Mark {
 public:
  explicit TorchMark(const c10::Device& device) : device_(device) {}
  void set() override {
    if (device_.is_cpu()) return;
    if (!event_) event_.emplace(device_.type());
    event_->record(current_stream(device_));
  }
  void wait() override {
    if (event_) event_->synchronize();
  }

 private:
  c10::Device device_;
  std::optional<c10::Event> event_;
};

class TorchResidence final : public exchange::Residence {
 public:
  explicit TorchResidence(const c10::Device& device) : device_(device) {}

  float* allocate(size_t elems) override {
    const auto tensor = at::zeros({static_cast<int64_t>(std::max<size_t>(elems, 1))}, at::TensorOptions(at::kFloat).device(device_));
    finish();
    auto* memory = tensor.data_ptr<float>();
    arrays_[memory] = tensor;
    return memory;
  }
  void free(float* memory) noexcept override { arrays_.erase(memory); }
  std::unique_ptr<exchange::Mark> make_mark() override { return std::make_unique<TorchMark>(device_); }

  void zero(std::span<float> x) override { over(x).zero_(); }
  void copy(float* to, std::span<const float> from) override { over({to, from.size()}).copy_(over(from)); }
  void scale(std::span<float> x, float factor) override { over(x).mul_(factor); }
  void subtract(std::span<float> out, const float* a, const float* b) override {
    auto result = over(out);
    at::sub_out(result, over({a, out.size()}), over({b, out.size()}));
  }
  void apply_outer(std::span<float> anchor, const float* mean, float* momentum, exchange::OuterRule rule) override {
    at::Tensor update = over({mean, anchor.size()});
    if (momentum != nullptr) {
      const auto m = over({momentum, anchor.size()});
      m.mul_(rule.mu).add_(update);
      update = update + m * rule.mu;
    }
    over(anchor).sub_(update * rule.lr);
  }
  void follow(std::span<float> parameter, const float* anchor, const float* departed) override {
    over(parameter).add_(over({anchor, parameter.size()}) - over({departed, parameter.size()}));
  }

  void fetch(MutableBytes to_host, const void* from) override {
    if (to_host.empty()) return;
    const auto guard = beside();
    bytes_of(to_host.data(), to_host.size(), at::kCPU).copy_(bytes_of(from, to_host.size(), device_));
  }
  void store(void* to, ConstBytes from_host) override {
    if (from_host.empty()) return;
    const auto guard = beside();
    bytes_of(to, from_host.size(), device_).copy_(bytes_of(from_host.data(), from_host.size(), at::kCPU));
  }
  double square_sum(std::span<const float> x) override {
    const auto guard = beside();
    return over(x).to(at::kDouble).square().sum().item<double>();
  }
  void finish() override {
    TorchMark now(device_);
    now.set();
    now.wait();
  }

 private:
  at::Tensor over(std::span<const float> x) const { return exchange::tensor_over(x, device_); }
  static at::Tensor bytes_of(const void* memory, size_t num_bytes, const c10::Device& where) {
    return at::from_blob(const_cast<void*>(memory), {static_cast<int64_t>(num_bytes)}, at::TensorOptions(at::kByte).device(where));
  }
  // A copy on a stream of its own waits for that alone: what the device computes meanwhile goes on, on the streams that it is on.
  std::optional<c10::StreamGuard> beside() const {
    if (device_.is_cpu()) return std::nullopt;
    return std::optional<c10::StreamGuard>(std::in_place, c10::impl::VirtualGuardImpl(device_.type()).getStreamFromGlobalPool(device_));
  }

  c10::Device device_;
  std::map<float*, at::Tensor> arrays_;
};

exchange::Machine machine_of(const c10::Device& device) {
  return {.runtime = cuda::runtime(),
          .kernels = *static_cast<const exchange::Kernels*>(cuda::part("exchange")),
          .device = device.index(),
          .current_stream =
              [device] {
                const c10::impl::VirtualGuardImpl guard(device.type());
                return guard.getStreamNativeHandle(guard.getStream(device));
              },
          .codec = [](const compressors::Codec& codec) { return codec.on_device(); }};
}

}  // namespace

std::unique_ptr<exchange::Residence> make_residence(const c10::Device& device) {
  if (device.is_cuda() && cuda::is_available()) return std::make_unique<exchange::DeviceResidence>(machine_of(device));
  return make_torch_residence(device);
}

std::unique_ptr<exchange::Residence> make_torch_residence(const c10::Device& device) { return std::make_unique<TorchResidence>(device); }

}  // namespace thinwire::trainer

#include "exchange/residence.h"

#include <algorithm>
#include <cstring>

#include "compressors/dense_kernels.h"

namespace thinwire::exchange {

namespace {

class HostMark final : public Mark {
 public:
  void set() override {}
  void wait() override {}
};

class HostResidence final : public Residence {
 public:
  bool is_host() const override { return true; }
  float* allocate(size_t elems) override { return new float[elems](); }
  void free(float* memory) noexcept override { delete[] memory; }
  std::unique_ptr<Mark> make_mark() override { return std::make_unique<HostMark>(); }

  void zero(std::span<float> x) override { std::ranges::fill(x, 0.0f); }
  void copy(float* to, std::span<const float> from) override { std::ranges::copy(from, to); }
  void scale(std::span<float> x, float factor) override {
    for (float& value : x) value *= factor;
  }
  void subtract(std::span<float> out, const float* a, const float* b) override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = a[i] - b[i];
  }
  void apply_outer(std::span<float> anchor, const float* mean, float* momentum, OuterRule rule) override {
    if (momentum == nullptr) {
      for (size_t i = 0; i < anchor.size(); ++i) anchor[i] = outer_sgd(anchor[i], mean[i], rule);
    } else {
      for (size_t i = 0; i < anchor.size(); ++i) anchor[i] = outer_nesterov(anchor[i], mean[i], momentum[i], rule);
    }
  }
  void follow(std::span<float> parameter, const float* anchor, const float* departed) override {
    for (size_t i = 0; i < parameter.size(); ++i) parameter[i] = exchange::follow(parameter[i], anchor[i], departed[i]);
  }

  void fetch(MutableBytes to_host, const void* from) override {
    if (!to_host.empty()) std::memcpy(to_host.data(), from, to_host.size());
  }
  void store(void* to, ConstBytes from_host) override {
    if (!from_host.empty()) std::memcpy(to, from_host.data(), from_host.size());
  }
  double square_sum(std::span<const float> x) override { return compressors::dense_kernels::square_sum(x); }
};

}  // namespace

Residence& host_residence() {
  static HostResidence host;
  return host;
}

}  // namespace thinwire::exchange

// What the tests of codecs on a device share: a device, real or not, and one encode or decode_add there and back.
#pragma once
#include <memory>
#include <optional>

#include "compressors/device_codec.h"
#include "late_runtime.h"
#include "support.h"

namespace thinwire::compressors::testing {

// Device memory that is filled from the host and read back.
class DeviceArray {
 public:
  DeviceArray(cuda::Runtime& runtime, size_t num_bytes) : runtime_(runtime), bytes_(num_bytes), memory_(runtime.allocate(num_bytes + 64)) {}
  ~DeviceArray() { runtime_.free(memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  std::byte* at(size_t offset = 0) const { return static_cast<std::byte*>(memory_) + offset; }
  float* floats(size_t offset = 0) const { return reinterpret_cast<float*>(at()) + offset; }
  size_t bytes() const { return bytes_; }

 private:
  cuda::Runtime& runtime_;
  size_t bytes_;
  void* memory_;
};

enum class Residual { none, in_place, elsewhere };

struct DeviceEncoded {
  Payload payload;              // all of its room after a fault
  std::vector<float> residual;  // afterwards
  std::vector<float> left;
  DeviceReport report;
};
struct DeviceDecoded {
  std::vector<float> out;
  DeviceReport report;
};

// The codec of a variant on one device. Arrays begin `shift` floats into their memory.
class DeviceRig {
 public:
  static constexpr float kScale = -0.37f, kDecay = 0.95f;
  static inline const Draw kOwn{11, 5};

  DeviceRig(const Variant& variant, bool on_gpu);
  ~DeviceRig();

  DeviceEncoded encode(Layer layer, const std::vector<float>& x, const std::vector<float>& residual, Residual how, size_t shift = 0);
  DeviceDecoded decode_add(Layer layer, const Payload& payload, float weight, const std::vector<float>& out, size_t shift = 0);

  // The same by the host; nothing where it refuses.
  std::optional<Encoded> host_encode(Layer layer, const std::vector<float>& x, std::optional<std::vector<float>> residual) const;
  std::optional<std::vector<float>> host_decode_add(Layer layer, const Payload& payload, float weight, std::vector<float> out) const;

 private:
  DeviceContext context(Layer layer);
  DeviceArray& array(size_t which, size_t num_bytes);
  void send(const DeviceArray& to, size_t offset, ConstBytes bytes);
  template <class T>
  void fetch(const DeviceArray& from, size_t offset, std::vector<T>& to);
  void wait();

  std::shared_ptr<const Codec> host_;
  std::unique_ptr<thinwire::testing::LateRuntime> late_;
  cuda::Runtime* runtime_ = nullptr;
  std::unique_ptr<DeviceCodec> device_;
  cuda::Stream stream_ = nullptr;
  cuda::Event event_ = nullptr;
  std::vector<std::unique_ptr<DeviceArray>> arrays_;
};

}  // namespace thinwire::compressors::testing

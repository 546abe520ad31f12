// The seam of codecs on a device: what codec.h promises, for numbers and payloads in device memory, put on a stream.
//
// A DeviceCodec writes and reads the payloads of the Codec that gave it (Codec::on_device), bit for bit, so ranks with and without a GPU
// agree. Calls return at once: nothing waits, nothing is allocated, all memory is the caller's and stays in use until the stream has
// passed. Immutable and stateless: one object serves all layers, streams and threads.
//
// What only the device knows comes back as a DeviceReport, which the caller reads after an event. A fault is a fact without words there:
// whoever meets one gives the same bytes to the host's codec, whose error names the element or the block.
//
// No header of CUDA is needed here: the real ones live in the CUDA module (base/cuda/module.h), tests make theirs of the host's codecs.
#pragma once
#include <memory>
#include <string>

#include "base/cuda/module.h"
#include "compressors/codec.h"

namespace thinwire::compressors {

// In device memory, 8-byte aligned; whole once the stream has passed the call that was given it.
struct DeviceReport {
  static constexpr uint64_t kNoFault = ~uint64_t{0};
  uint64_t payload_bytes;  // of an encode; nothing of use after a fault
  uint64_t fault;  // kNoFault; else of an encode the first element of a that is not finite, of a decode_add where the payload is bad
};

// In of codec.h, in device memory. What is left, a - decoded, goes to `left` (nowhere: nullptr), which either is `residual` itself or
// overlaps nothing. In place, an encode costs one more pass over x and the residual in front: they are known to be finite before a number
// is written.
struct DeviceIn {
  const float* x = nullptr;
  float scale = 1;
  const float* residual = nullptr;
  float decay = 1;
  float* left = nullptr;
};

struct DeviceContext {
  std::byte* scratch = nullptr;  // DeviceCodec::scratch_bytes(), aligned to 64 bytes
  cuda::Stream stream = nullptr;
  DeviceReport* report = nullptr;
  Draw own{0};  // as in Context
};

class DeviceCodec {
 public:
  // Payloads begin at multiples of this, and their memory ends at one: up to there the kernels may read and write it. Arrays of floats
  // may begin anywhere; those at a multiple of 16 bytes are faster.
  static constexpr size_t kPayloadAlignment = 16;

  virtual ~DeviceCodec() = default;
  virtual size_t scratch_bytes(Layer layer) const = 0;

  // `out` has traits().worst_bytes of the host's codec, rounded up to kPayloadAlignment. Where an element of a is not finite, the report
  // says so, and neither the residual nor, in place, `out` is written; another `left` then holds nothing of use, nor does its `out`.
  virtual void encode(Layer layer, const DeviceIn& in, const DeviceContext& context, std::byte* out) const = 0;

  // Where the payload, which comes from a peer, is none that the host's codec accepts, the report says so and `out` stays as it was.
  virtual void decode_add(Layer layer, ConstBytes payload, float weight, float* out, const DeviceContext& context) const = 0;
};

// For Codec::on_device(): the device's half of a codec, made by the part of the CUDA module of this name from what both agree on.
// The part is a DeviceMaker<Parameters>*. Nothing where there is no device.
template <class Parameters>
using DeviceMaker = std::unique_ptr<DeviceCodec> (*)(const Parameters&);

template <class Parameters>
std::unique_ptr<DeviceCodec> make_on_device(const std::string& part, const Parameters& parameters) {
  if (!cuda::is_available()) return nullptr;
  return (*static_cast<const DeviceMaker<Parameters>*>(cuda::part(part)))(parameters);
}

}  // namespace thinwire::compressors

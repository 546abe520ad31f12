// Codecs that send every element on its own, in another number format: of Combine::reencode.
//
// A Cast says which format:
//   kId, kName, kDelta, kErrorFloor    what Codec and Traits ask for
//   Wire                               the unsigned integer on the wire
//   kExponent                          the bits that are all set in a Wire that is not finite, and in no other
//   to_wire(float)                     of a finite value: a Wire that from_wire makes finite
//   from_wire(Wire)
// The payload is elems times a little-endian Wire, so the payload of a slice is the slice of the payload.
//
// Loops have no early exit, and those that encode work on arrays on the stack, where nothing else can be: so compilers vectorise them.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "compressors/device_codec.h"
#include "compressors/guards.h"

namespace thinwire::compressors {

struct CastOnDevice {};  // the parts of the CUDA module are named like the codecs (cast.cu, fp16.cu)

template <class Cast>
class CastCodec final : public Codec {
 public:
  uint16_t id() const override { return Cast::kId; }
  std::string_view name() const override { return Cast::kName; }

  Traits traits(Layer layer) const override {
    const size_t bytes = static_cast<size_t>(layer.elems()) * kWidth;
    return {.combine = Combine::reencode,
            .worst_bytes = bytes,
            .exact_bytes = bytes,
            .scratch_bytes = 0,
            .split_elems = 1,
            .delta = Cast::kDelta,
            .error_floor = Cast::kErrorFloor};
  }

  size_t encode(Layer layer, In in, Context&, std::byte* out) const override {
    require_finite(layer, in);
    std::array<float, kBlockElems> a;
    std::array<Wire, kBlockElems> wires;
    const size_t elems = static_cast<size_t>(layer.elems());
    for (size_t begin = 0; begin < elems; begin += kBlockElems) {
      const size_t count = std::min(kBlockElems, elems - begin);
      accumulate(in, begin, std::span(a).first(count));
      for (size_t i = 0; i < count; ++i) wires[i] = Cast::to_wire(a[i]);
      std::memcpy(out + begin * kWidth, wires.data(), count * kWidth);
      if (in.residual == nullptr) continue;
      float* residual = in.residual + begin;
      for (size_t i = 0; i < count; ++i) residual[i] = a[i] - Cast::from_wire(wires[i]);
    }
    return elems * kWidth;
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context&) const override {
    require_length(name(), layer, payload, static_cast<size_t>(layer.elems()) * kWidth);
    const std::byte* wires = payload.data();
    for_each_block(layer, [&](size_t begin, size_t end) {
      Wire bad = 0;
      for (size_t i = begin; i < end; ++i) bad |= is_bad(wire_at(wires, i)) ? 1 : 0;
      if (bad == 0) return;
      while (!is_bad(wire_at(wires, begin))) ++begin;
      corrupt_payload(name(), layer, "element " + std::to_string(begin) + " is not finite");
    });
    for_each_block(layer, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) out[i] += weight * Cast::from_wire(wire_at(wires, i));
    });
  }

  std::unique_ptr<DeviceCodec> on_device() const override { return make_on_device(std::string(Cast::kName), CastOnDevice()); }

 private:
  using Wire = typename Cast::Wire;
  static constexpr size_t kWidth = sizeof(Wire), kBlockElems = 1024;
  static bool is_bad(Wire wire) { return (wire & Cast::kExponent) == Cast::kExponent; }

  static Wire wire_at(const std::byte* wires, size_t i) { return load_le<Wire>(wires + i * kWidth); }

  // visit(index of the block's first element, of the one behind its last).
  template <class Visit>
  static void for_each_block(Layer layer, const Visit& visit) {
    const size_t elems = static_cast<size_t>(layer.elems());
    for (size_t begin = 0; begin < elems; begin += kBlockElems) visit(begin, std::min(begin + kBlockElems, elems));
  }
};

}  // namespace thinwire::compressors

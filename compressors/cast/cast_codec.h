// Codecs that send every element on its own, in another number format: the family of Combine::sum.
//
// A Cast says which format:
//   kId, kName, kDelta, kErrorFloor    what Codec and Traits ask for
//   Wire                               the trivially copyable type on the wire
//   to_wire(float)                     of a finite value: a Wire that from_wire makes finite
//   from_wire(Wire)
// The payload is elems times a little-endian Wire, so the payload of a slice is the slice of the payload.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "base/bytes.h"
#include "compressors/codec.h"
#include "compressors/guards.h"

namespace thinwire::compressors {

template <class Cast>
class CastCodec final : public Codec {
 public:
  uint16_t id() const override { return Cast::kId; }
  std::string_view name() const override { return Cast::kName; }

  Traits traits(Layer layer) const override {
    const size_t bytes = static_cast<size_t>(layer.elems()) * kWidth;
    return {.combine = Combine::sum,
            .worst_bytes = bytes,
            .exact_bytes = bytes,
            .scratch_bytes = 0,
            .delta = Cast::kDelta,
            .error_floor = Cast::kErrorFloor};
  }

  size_t encode(Layer layer, In in, Context&, std::byte* out) const override {
    require_finite(layer, in);
    std::array<float, 1024> block;
    const size_t elems = static_cast<size_t>(layer.elems());
    for (size_t begin = 0; begin < elems; begin += block.size()) {
      const auto a = std::span(block).first(std::min(block.size(), elems - begin));
      accumulate(in, begin, a);
      for (size_t i = 0; i < a.size(); ++i) {
        const Wire wire = Cast::to_wire(a[i]);
        store_le(out + (begin + i) * kWidth, wire);
        if (in.residual != nullptr) in.residual[begin + i] = a[i] - Cast::from_wire(wire);
      }
    }
    return elems * kWidth;
  }

  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context&) const override {
    const size_t elems = static_cast<size_t>(layer.elems());
    require_length(name(), layer, payload, elems * kWidth);
    for (size_t i = 0; i < elems; ++i) {
      if (!std::isfinite(value_at(payload, i))) corrupt_payload(name(), layer, "element " + std::to_string(i) + " is not finite");
    }
    for (size_t i = 0; i < elems; ++i) out[i] += weight * value_at(payload, i);
  }

 private:
  using Wire = typename Cast::Wire;
  static constexpr size_t kWidth = sizeof(Wire);
  static float value_at(ConstBytes payload, size_t i) { return Cast::from_wire(load_le<Wire>(payload.data() + i * kWidth)); }
};

}  // namespace thinwire::compressors

// A codec whose payloads are as long as its input is interesting: for frames in which lengths travel.
#pragma once
#include "compressors/codec.h"

namespace thinwire::exchange::testing {

// Index and value of everything that is not 0: the length depends on the data.
class NonzerosCodec final : public compressors::Codec {
 public:
  uint16_t id() const override { return 60000; }
  std::string_view name() const override { return "nonzeros"; }
  compressors::Traits traits(compressors::Layer layer) const override {
    compressors::Traits traits;
    traits.worst_bytes = 8 * static_cast<size_t>(layer.elems());
    traits.delta = 1;
    return traits;
  }
  size_t encode(compressors::Layer layer, compressors::In in, compressors::Context&, std::byte* out) const override {
    size_t bytes = 0;
    for (uint32_t i = 0; i < layer.elems(); ++i) {
      const float a = (in.residual ? in.decay * in.residual[i] : 0.0f) + in.scale * in.x[i];
      if (in.residual) in.residual[i] = 0;
      if (a == 0) continue;
      store_le(out + bytes, i);
      store_le(out + bytes + 4, a);
      bytes += 8;
    }
    return bytes;
  }
  void decode_add(compressors::Layer layer, ConstBytes payload, float weight, float* out, compressors::Context&) const override {
    ByteReader reader(payload, "nonzeros");
    while (reader.remaining() > 0) {
      const auto index = reader.read<uint32_t>("index");
      if (index >= layer.elems()) throw CorruptData("nonzeros: index is beyond the layer");
      out[index] += weight * reader.read<float>("value");
    }
  }
};

}  // namespace thinwire::exchange::testing

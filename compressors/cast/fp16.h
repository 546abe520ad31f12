// `fp16`: rounded to nearest even, with one power of two for each block of 4096 elements, so that every finite fp32 is within the bound.
//
// The layer, flattened row-major, is cut into blocks of 4096 elements, the last one possibly shorter. Plain fp16 would overflow above 65504
// and flush below 6e-8 (compressors/values/scaled_half.h says how the exponent is chosen).
//
//   bytes   1 + 2 len a block: 2.0002 an element      (docs/formats/payload.md)
//   error   |a - decoded|^2 <= 2^-21 |a|^2: an element costs at most 2^-22 a^2 or, where its half is subnormal, 2^-78 m^2 with m the
//           block's largest; there are at most 4096 of the latter, together 2^-66 m^2
#pragma once
#include "compressors/codec.h"

namespace thinwire::compressors {

class Fp16Codec final : public Codec {
 public:
  static constexpr size_t kBlockElems = 4096;
  uint16_t id() const override { return 2; }
  std::string_view name() const override { return "fp16"; }
  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;
  std::unique_ptr<DeviceCodec> on_device() const override;
};

}  // namespace thinwire::compressors

// `bf16`: rounded to nearest even, saturating at the largest bfloat16.
//
// Error: 8 significant bits make it at most 2^-8 |a|, also where it saturates. Below 2^-126 bfloat16 counts in steps of 2^-133, so
// denormals lose up to 2^-134 each: that is the floor.
#pragma once
#include "base/dtype.h"
#include "compressors/cast/cast_codec.h"

namespace thinwire::compressors {

struct Bf16Cast {
  static constexpr uint16_t kId = 1;
  static constexpr std::string_view kName = "bf16";
  static constexpr double kDelta = 1 - 0x1p-16, kErrorFloor = 0x1p-134;
  using Wire = uint16_t;
  static constexpr Wire kExponent = 0x7f80;
  // Rounding up from the last binade gives infinity, which no peer would accept; one less is the largest finite value.
  static constexpr Wire to_wire(float value) {
    const uint16_t rounded = to_bf16(value);
    return (rounded & 0x7fff) == 0x7f80 ? static_cast<uint16_t>(rounded - 1) : rounded;
  }
  static constexpr float from_wire(Wire wire) { return from_bf16(wire); }
};
using Bf16Codec = CastCodec<Bf16Cast>;

}  // namespace thinwire::compressors

// `none`: fp32 as it is. Lossless, so a residual is 0 after every encode.
#pragma once
#include <bit>

#include "compressors/cast/cast_codec.h"

namespace thinwire::compressors {

struct Fp32Cast {
  static constexpr uint16_t kId = 0;
  static constexpr std::string_view kName = "none";
  static constexpr double kDelta = 1, kErrorFloor = 0;
  using Wire = uint32_t;
  static constexpr Wire kExponent = 0x7f800000;
  static constexpr Wire to_wire(float value) { return std::bit_cast<Wire>(value); }
  static constexpr float from_wire(Wire wire) { return std::bit_cast<float>(wire); }
};
using NoneCodec = CastCodec<Fp32Cast>;

}  // namespace thinwire::compressors

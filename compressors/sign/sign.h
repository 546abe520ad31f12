// `sign`: one bit an element, and for each block the mean magnitude that all of its elements get.
//
// The layer, flattened row-major, is cut into blocks of `block` elements, the last one possibly shorter. With m elements that are not 0,
//
//   scale = fp32(sum |a_i| / m)        decoded_i = scale * sign(a_i)        sign(0) = 0
//
// [Karimireddy et al., arXiv 1901.09847: the scaled sign, under error feedback]. An element that is exactly 0 stays 0: a parameter whose
// gradient is structurally zero would otherwise walk at random by +-scale. A block that has such elements carries a bit for each element
// that says which; a block of zeros alone is its scale, 0. So the length depends on the data.
//
//   bytes   4 + ceil(len / 8) a block, 2 ceil(len / 8) with zeros among it, 4 of zeros alone: 1.03 bits an element at 1024
//           (docs/formats/payload.md)
//   error   |a - decoded|^2 <= (1 - delta) |a|^2 + len * floor^2 with delta = (1 - 2^-40) / len, floor = 2^-150
//
// Proof. With the exact mean s, sum (|a_i| - s)^2 over the m = |a|_2^2 - |a|_1^2 / m; the zeros add nothing. The share that is taken off,
// |a|_1^2 / (m |a|_2^2), is at least 1 / m >= 1 / len, as |a|_1 >= |a|_2; it is 1 for equal magnitudes, 2 / pi = 0.64 for normal ones.
// A scale that is off by d adds m d^2: the sum in double and the rounding to fp32 give d <= 2^-23.9 s, so d^2 <= 2^-47.8 s^2 costs 2^-47.8
// of the share, or d <= 2^-150 where s is denormal, which is the floor. The scale is at least the least magnitude: never rounded to 0.
#pragma once
#include <span>

#include "compressors/codec.h"
#include "config/section.h"

namespace thinwire::compressors {

struct SignOptions {
  int64_t block = 1024;
};
void describe(config::Section& section, SignOptions& options);

class SignCodec final : public Codec {
 public:
  explicit SignCodec(const SignOptions& options);
  uint16_t id() const override { return 4; }
  std::string_view name() const override { return "sign"; }
  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;
  std::unique_ptr<DeviceCodec> on_device() const override;

 private:
  size_t block_elems_;
};

}  // namespace thinwire::compressors

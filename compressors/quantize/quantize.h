// `quantize`: every element as one of up to 2^bits evenly spaced levels; the spacing is the bucket's own.
//
// The layer, flattened row-major, is cut into buckets of `bucket` elements, the last one possibly shorter. One outlier spoils one bucket.
//
//   minmax  between the bucket's least and largest element, both as fp32  [CGX, Markov et al., Middleware'22: max-min uniform]. Constant
//           buckets are exact at every width. The ends travel rather than one end and the spacing: the spacing is then a double on both
//           sides, which neither overflows (the range may be twice the largest fp32) nor is lost among the denormals.
//   qsgd    s = 2^(bits-1) - 1 levels on either side of 0, up to the bucket's L2 norm (capped at the largest fp32)
//           [QSGD, Alistarh et al., arXiv 1610.02132, eq. 4]
//
// Rounding is to nearest, or stochastic: up with the probability of the remainder, so that the mean of many draws is the element (grid.h).
//
//   bytes   8 (minmax) or 4 (qsgd) + ceil(bits * len / 8) a bucket: 4.06 bits an element at 4 bits and 1024    (docs/formats/payload.md)
//   error   per bucket of n elements, with E = 1 for nearest and 4 for stochastic:
//             minmax  |a - decoded|^2 <= E (n - 2) / (2 (2^bits - 1)^2) |a|^2         qsgd  <= E n / (4 s^2) |a|^2
//           up to rounding; and qsgd to nearest never above |a|^2.
//
// Proof. An element lies within p = unit / 2 of its level (nearest) or within p = unit (stochastic); the ends of minmax lie on theirs. The
// range R = max - min has R^2 <= 2 (max^2 + min^2) <= 2 |a|^2 (of one sign: R^2 <= |a|^2), unit = R / (2^bits - 1). For qsgd unit <= |a| /
// s. Rounding adds q <= 2^-23.9 A + 2^-150 an element, A the largest magnitude: fp32 rounds the value, and doubles the rest, by less than
// 2^-49 A. (p + q)^2 <= (1 + 2^-6) p^2 + 65 q^2, and 65 n q^2 <= 2^-40 n A^2 + n 2^-292: hence the factor, the term and the floor below.
// qsgd to nearest: 0 is a level, so an element that takes another is at least unit / 2; |a - value| <= |a| then holds for the exact
// value, and rounding it to fp32 cannot pass the fp32 numbers 0 and 2 a.
//
// At few bits a delta is below 0: nothing is guaranteed of one element of 1 among 1023 that are 0.03 off their levels. Stochastic rounding
// has no bias to feed back, and its residual may grow; use it without error feedback or at many bits.
#pragma once
#include <span>
#include <string>

#include "compressors/codec.h"
#include "compressors/quantize/grid.h"
#include "compressors/strength.h"
#include "config/section.h"

namespace thinwire::compressors {

struct QuantizeOptions {
  static constexpr Strength kStrength{"bits", Strength::Sweep::whole};
  int64_t bits = 4;
  int64_t bucket = 1024;
  std::string scheme = "minmax";
  std::string rounding = "nearest";
  std::string entropy = "none";
};
void describe(config::Section& section, QuantizeOptions& options);

class QuantizeCodec final : public Codec {
 public:
  explicit QuantizeCodec(const QuantizeOptions& options);
  uint16_t id() const override { return 3; }
  std::string_view name() const override { return "quantize"; }
  Traits traits(Layer layer) const override;
  size_t encode(Layer layer, In in, Context& context, std::byte* out) const override;
  void decode_add(Layer layer, ConstBytes payload, float weight, float* out, Context& context) const override;
  std::unique_ptr<DeviceCodec> on_device() const override;

 private:
  enum class Scheme { minmax, qsgd };
  enum class Rounding { nearest, stochastic };
  size_t header_bytes() const;
  size_t block_bytes(size_t bucket_elems) const;
  size_t payload_bytes(size_t elems) const;
  double relative_error(size_t bucket_elems) const;  // 1 - delta of such a bucket
  Grid write_header(std::span<const float> a, std::byte* out) const;
  Grid read_header(const std::byte* block) const;
  const char* fault(const std::byte* block, std::span<uint8_t> levels) const;

  int bits_;
  size_t bucket_elems_;
  Scheme scheme_;
  Rounding rounding_;
};

}  // namespace thinwire::compressors

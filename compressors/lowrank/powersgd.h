// `powersgd`: a layer M of rows x cols as P Q^T of rank r, by one power step an exchange from where the last one ended.
// PowerSGD (Vogels, Karimireddy, Jaggi 2019, arXiv 1905.13727), algorithms 1 and 2.
//
//   round 0   P = M Q,        mean over ranks, then P orthogonalised      rows * r floats
//   round 1   Q = M^T P,      mean over ranks                             cols * r floats
//   decoded   P Q^T = P P^T M: the projection of M on the span of P; the next exchange starts from the mean Q, orthogonalised
//
//   bytes   4 r (rows + cols), r = min(rank, rows, cols), where that is more than min_compression times fewer than 4 rows cols;
//           else the layer's sketch is the layer itself: one round, lossless, so that vectors travel with the rest
//   memory  P (rows x r) and Q (cols x r): 0 floats for a layer that is not compressed
//   error   |a - own|^2 <= |a|^2, up to rounding: below
//
// Two scales make every finite input safe. Columns of P and Q have not norm 1 but a power of two s <= 1 / (2 sqrt(length)) (basis.h), so no
// sum overflows; decoding multiplies by s^-2. Own values are limited to the largest finite fp32. Starting from an orthogonal Q changes
// nothing but rounding: P's span, hence all that is decoded, depends on Q's span alone. Means may be any finite numbers, whoever sent them:
// memory and decoded values stay finite. A mean that is not finite must have been refused before.
//
// A direction that vanishes (a zero or rank-deficient mean) is 0 in P, and drawn anew in the next Q from Context::shared.
//
// Proof of delta. P has orthogonal columns that are units or 0, up to 2^-20, so all eigenvalues of I - P P^T are in [-1, 1]: without
// rounding, |a - own| <= |a| whatever the other ranks hold. Limiting own to the range of fp32, in which a lies, only brings it nearer. With
// u = 2^-24, the inner products over rows and over r err by at most G |a|, G = 2 u sqrt(r) (rows + r + 4), and products that underflow by
// at most F = (rows + r) 2^-150 / s an element. So |a - own|^2 <= ((1 + G) |a| + F sqrt(n))^2 <= (1 + G)^3 |a|^2 + (1 + 1 / G) n F^2 where
// (1 + G)^3 <= 1 + 5 G while G <= 1/2 (2 million rows at rank 4; larger layers have no statement better than this one) and
// 1 + 1 / G <= 2^22.
//
// What is lost goes to the residual: a - own, so each rank keeps what its own sketch missed. The paper keeps a - mean decoded; over the
// ranks both sum to the same. It pays for large matrices whose spectrum falls, and between ranks that can sum (docs/methods/powersgd.md).
#pragma once
#include "compressors/sketch.h"
#include "compressors/strength.h"
#include "config/section.h"

namespace thinwire::compressors {

struct PowersgdOptions {
  static constexpr Strength kStrength{"rank", Strength::Sweep::whole};
  int64_t rank = 4;
  double min_compression = 2;
  bool warm_start = true;
};
void describe(config::Section& section, PowersgdOptions& options);

// |a - decoded|^2 at each of these ranks once the warm start has found its way, the other options as they are: the error curve
// (error_curve.h), and 0 where the layer would not be compressed.
std::vector<double> squared_errors_of(const PowersgdOptions& options, Layer layer, std::span<const float> a, std::span<const double> ranks);

class PowersgdSketch final : public Sketch {
 public:
  explicit PowersgdSketch(const PowersgdOptions& options) : options_(options) {}
  uint16_t id() const override { return 7; }
  std::string_view name() const override { return "powersgd"; }
  Traits traits(Layer layer) const override;
  std::vector<size_t> round_elems(Layer layer) const override;  // rows * r and cols * r; or the layer's elements
  size_t memory_elems(Layer layer) const override;
  void start(Layer layer, const Draw& shared, std::span<float> memory) const override;
  void produce(Layer layer, int round, const float* a, std::span<const float> memory, Context& context,
               std::span<float> part) const override;
  void absorb(Layer layer, int round, std::span<const float> mean, std::span<float> memory, Context& context) const override;
  void decode_add(Layer layer, std::span<const float> last, std::span<const float> memory, float weight, float* out,
                  Context& context) const override;

 private:
  size_t rank_of(Layer layer) const;  // 0: not compressed

  PowersgdOptions options_;
};

}  // namespace thinwire::compressors

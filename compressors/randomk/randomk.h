// `randomk`: a random share of a layer's elements, the same on all ranks and so without indices.
//
// The layer is flattened row-major and cut into k strata of n / k elements (sizes differ by one at most); of each, one element is drawn
// uniformly from the draws that all ranks share. So k different elements are taken in ascending order, in O(k), without memory. It is a
// random-k like any other: an element of a stratum of s is taken with probability 1 / s, s at most ceil(n / k), which is all that the
// theory asks for (Stich et al. 2018, arXiv 1809.07599, definition 2.1); only pairs are not independent, which no bound of it uses.
//
//   bytes   4 k, k = max(1, round(density * n))
//   error   expected: |a - decoded|^2 = sum of (1 - 1 / s) a_i^2 <= (1 - 1 / ceil(n / k)) |a|^2
//           guaranteed: what is taken is exact and the rest is dropped, so |a - decoded| <= |a|: delta = 0, and 1 where k = n
//
// `unbiased` multiplies a taken element by s, so that the expected value of what is decoded is a: for use without error feedback. It then
// errs by (s - 1) |a_i| there, besides rounding: delta = 1 - (S - 1 + S 2^-24)^2 with S the largest s, when S > 1. Products beyond fp32
// are limited to its largest number, which only brings them nearer to a.
//
// The draws must differ between exchanges (Context::shared), else the same elements are taken for ever.
#pragma once
#include "compressors/sketch.h"
#include "compressors/strength.h"
#include "config/section.h"

namespace thinwire::compressors {

struct RandomkOptions {
  static constexpr Strength kStrength{"density", Strength::Sweep::doublings};
  double density = 0.01;
  bool unbiased = false;
};
void describe(config::Section& section, RandomkOptions& options);

class RandomkSketch final : public Sketch {
 public:
  explicit RandomkSketch(const RandomkOptions& options) : options_(options) {}
  uint16_t id() const override { return 6; }
  std::string_view name() const override { return "randomk"; }
  Traits traits(Layer layer) const override;
  std::vector<size_t> round_elems(Layer layer) const override { return {taken_of(layer)}; }
  size_t memory_elems(Layer) const override { return 0; }
  void start(Layer, const Draw&, std::span<float>) const override {}
  void produce(Layer layer, int round, const float* a, std::span<const float> memory, Context& context,
               std::span<float> part) const override;
  void absorb(Layer, int, std::span<const float>, std::span<float>, Context&) const override {}
  void decode_add(Layer layer, std::span<const float> last, std::span<const float> memory, float weight, float* out,
                  Context& context) const override;

 private:
  size_t taken_of(Layer layer) const;

  RandomkOptions options_;
};

}  // namespace thinwire::compressors

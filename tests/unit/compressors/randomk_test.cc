#include "compressors/randomk/randomk.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sketch_support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

// The indices that a layer's exchange takes: producing from 0, 1, 2, ... yields them.
std::vector<size_t> taken(const RandomkSketch& sketch, Layer layer, uint64_t seed) {
  std::vector<float> numbers(static_cast<size_t>(layer.elems())), part(sketch.round_elems(layer)[0]);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  Context context{.scratch = {}, .shared = Draw(seed)};
  sketch.produce(layer, 0, numbers.data(), {}, context, part);
  return {part.begin(), part.end()};
}

std::vector<float> decoded(const RandomkSketch& sketch, Layer layer, const std::vector<float>& a, uint64_t seed) {
  std::vector<float> part(sketch.round_elems(layer)[0]), out(a.size(), 0.0f);
  Context context{.scratch = {}, .shared = Draw(seed)};
  sketch.produce(layer, 0, a.data(), {}, context, part);
  sketch.decode_add(layer, part, {}, 1, out.data(), context);
  return out;
}

TEST(Randomk, RoundsItsShareAndTakesAtLeastOne) {
  EXPECT_EQ(RandomkSketch({.density = 0.01}).round_elems(layer_of(1000))[0], 10u);
  EXPECT_EQ(RandomkSketch({.density = 0.01}).round_elems(layer_of(149))[0], 1u);
  EXPECT_EQ(RandomkSketch({.density = 0.01}).round_elems(layer_of(150))[0], 2u);  // 1.5: halves go up
  EXPECT_EQ(RandomkSketch({.density = 0.01}).round_elems(layer_of(3))[0], 1u);
  EXPECT_EQ(RandomkSketch({.density = 0.01}).round_elems(layer_of(0))[0], 0u);
}

// 3 strata of 10 elements begin at floor(10 i / 3) = 0, 3, 6 and have 3, 3 and 4 elements; the drawn offset is Draw::below's.
TEST(Randomk, TakesTheDrawnElementOfEachStratum) {
  const RandomkSketch sketch({.density = 0.3});
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Draw draw = Draw(seed).fork(uint64_t{3});
    const std::vector<size_t> expected{draw.below(0, 3), 3 + draw.below(1, 3), 6 + draw.below(2, 4)};
    EXPECT_EQ(taken(sketch, layer_of(10), seed), expected);
  }
}

TEST(Randomk, HasStrataThatBeginAtTheRoundedDownBoundary) {
  for (const size_t elems : {7, 100, 197, 1023}) {
    for (const double density : {0.01, 0.3, 0.5, 0.77, 1.0}) {
      const std::vector<size_t> indices = taken(RandomkSketch({.density = density}), layer_of(elems), 5);
      for (size_t i = 0; i < indices.size(); ++i) {
        EXPECT_GE(indices[i], elems * i / indices.size());
        EXPECT_LT(indices[i], elems * (i + 1) / indices.size());
      }
    }
  }
}

// 4 elements of 2 strata, 4000 draws: each is taken 2000 +- 32 times (binomial); five standard deviations.
TEST(Randomk, TakesEveryElementEquallyOften) {
  std::vector<int> counts(4);
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    for (const size_t index : taken(RandomkSketch({.density = 0.5}), layer_of(4), seed)) ++counts[index];
  }
  for (const int count : counts) EXPECT_NEAR(count, 2000, 160);
}

TEST(Randomk, DrawsAnewForEachLayer) {
  const RandomkSketch sketch({.density = 0.1});
  EXPECT_NE(taken(sketch, {.id = 1, .rows = 1, .cols = 1000}, 9), taken(sketch, {.id = 2, .rows = 1, .cols = 1000}, 9));
}

TEST(Randomk, SendsWhatItTakesExactlyAndNothingElse) {
  const RandomkSketch sketch({.density = 0.2});
  const std::vector<float> a = normal_values(100, 1), out = decoded(sketch, layer_of(100), a, 4);
  std::vector<float> expected(100, 0.0f);
  for (const size_t index : taken(sketch, layer_of(100), 4)) expected[index] = a[index];
  EXPECT_EQ(out, expected);
}

// The mean of what is decoded over many draws is the input: an element of a stratum of s is s a_i or 0, of variance (s - 1) a_i^2.
TEST(Randomk, IsUnbiasedOnRequest) {
  constexpr size_t kElems = 10, kDraws = 4000;
  const RandomkSketch sketch({.density = 0.3, .unbiased = true});
  const std::vector<float> a = normal_values(kElems, 1);
  std::vector<double> mean(kElems);
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    const std::vector<float> out = decoded(sketch, layer_of(kElems), a, seed);
    for (size_t i = 0; i < kElems; ++i) mean[i] += static_cast<double>(out[i]) / kDraws;
  }
  for (size_t i = 0; i < kElems; ++i) EXPECT_NEAR(mean[i], a[i], 5 * std::fabs(a[i]) * std::sqrt(3.0 / kDraws)) << "element " << i;
}

TEST(Randomk, LimitsEnlargedValuesToTheRangeOfFp32) {
  const std::vector<float> out = decoded(RandomkSketch({.density = 0.5, .unbiased = true}), layer_of(2), {-kLargest, -kLargest}, 1);
  EXPECT_EQ(std::min(out[0], out[1]), -kLargest);
  EXPECT_EQ(std::max(out[0], out[1]), 0);
}

TEST(Randomk, StatesItsContraction) {
  EXPECT_EQ(RandomkSketch({.density = 0.3}).traits(layer_of(10)).delta, 0);
  EXPECT_EQ(RandomkSketch({.density = 1}).traits(layer_of(10)).delta, 1);
  EXPECT_EQ(RandomkSketch({.density = 1, .unbiased = true}).traits(layer_of(10)).delta, 1);
  EXPECT_NEAR(RandomkSketch({.density = 0.3, .unbiased = true}).traits(layer_of(10)).delta, 1 - 9, 1e-5);  // the largest stratum has 4
}

}  // namespace
}  // namespace thinwire::compressors

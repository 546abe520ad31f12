#include "compressors/topk/error_curve.h"

#include <gtest/gtest.h>

#include "compressors/topk/topk.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

// What the codec leaves in a residual that was 0.
double error_of(const TopkOptions& options, const std::vector<float>& a) {
  const TopkCodec codec(options);
  return square_sum(encode(codec, layer_of(a.size()), a, std::vector<float>(a.size(), 0.0f)).residual);
}

const std::vector<double> kDensities{0.01, 1.0, 1e-9, 0.3, 0.0625, 0.3};  // in no order, one of them twice

TEST(TopkErrorCurve, IsWhatTheCodecLeaves) {
  std::vector<uint32_t> scratch;
  for (const size_t elems : {1, 7, 64, 1000, 3 * 512 + 5}) {
    for (const Input& input : hurtful_inputs(elems)) {
      SCOPED_TRACE(input.name + ", " + std::to_string(elems) + " elements");
      const auto chunked = topk_squared_errors(input.values, 512, kDensities, scratch);
      const auto global = topk_squared_errors(input.values, elems, kDensities, scratch);
      for (size_t i = 0; i < kDensities.size(); ++i) {
        const double direct = error_of({.density = kDensities[i], .chunk = 512, .values = "fp32", .index_coding = "raw"}, input.values);
        EXPECT_NEAR(chunked[i], direct, 1e-12 * direct);
        const double of_layer =
            error_of({.density = kDensities[i], .scope = "global", .values = "fp32", .index_coding = "raw"}, input.values);
        EXPECT_NEAR(global[i], of_layer, 1e-12 * of_layer);
      }
    }
  }
}

// 1 to 100: the k largest go, the squares of the others stay, n (n + 1) (2 n + 1) / 6 for n = 100 - k.
TEST(TopkErrorCurve, FollowsTheSumOfSquares) {
  std::vector<float> a(100);
  for (size_t i = 0; i < a.size(); ++i) a[i] = (i % 2 == 0 ? 1.0f : -1.0f) * static_cast<float>(i * 37 % 100 + 1);
  std::vector<uint32_t> scratch;
  const auto errors = topk_squared_errors(a, 4096, std::vector<double>{0.01, 0.5, 1.0}, scratch);
  EXPECT_EQ(errors, (std::vector<double>{99 * 100 * 199 / 6, 50 * 51 * 101 / 6, 0}));
}

TEST(TopkErrorCurve, NeglectsOnlyTheRoundingOfFp16) {
  const std::vector<float> a = normal_values(5000, 7);
  std::vector<uint32_t> scratch;
  const double dropped = topk_squared_errors(a, 4096, std::vector<double>{0.0625}, scratch)[0];
  const double error = error_of({}, a);
  EXPECT_GT(error, dropped);
  EXPECT_LE(error, dropped + 0x1p-21 * square_sum(a));
}

TEST(TopkErrorCurve, OfNothingIsZero) {
  std::vector<uint32_t> scratch;
  EXPECT_EQ(topk_squared_errors({}, 64, std::vector<double>{0.5}, scratch), std::vector<double>{0});
  EXPECT_TRUE(topk_squared_errors(std::vector<float>{1}, 64, {}, scratch).empty());
}

}  // namespace
}  // namespace thinwire::compressors

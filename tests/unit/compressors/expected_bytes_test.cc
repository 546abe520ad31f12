#include "compressors/expected_bytes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compressors/quantize/quantize.h"
#include "compressors/sign/sign.h"
#include "compressors/topk/topk.h"

namespace thinwire::compressors {
namespace {

TEST(ExpectedBytes, AreTheLengthThatAllPayloadsHave) {
  EXPECT_EQ(expected_bytes(TopkCodec({}), {0, 1, 4096}), 897);  // 256 of 4096: 1 + 2 * 256 and 12 bits each
  EXPECT_EQ(expected_bytes(TopkCodec({}), {0, 100, 4096}), 100 * 897);
}

// Rice codes of the gaps of a random choice of k of n: log2(n / k) + 1.5 bits each, to a few hundredths (topk.h).
TEST(ExpectedBytes, OfRiceCodedPositionsAreNearTheirEntropy) {
  TopkOptions options;
  options.density = 0.01;
  options.index_coding = "rice";
  const double kept = 41, by_formula = 1 + 2 * kept + kept * (std::log2(1 / options.density) + 1.5) / 8;
  EXPECT_NEAR(expected_bytes(TopkCodec(options), {0, 64, 4096}) / 64, by_formula, 0.03 * by_formula);
}

TEST(ExpectedBytes, OfSignsOfNormalNumbersAreABitEachAndASizeABlock) {
  EXPECT_NEAR(expected_bytes(SignCodec({}), {0, 1, 1 << 17}), (1 << 17) / 8 + 4 * (1 << 17) / 1024, 200);
}

TEST(ExpectedBytes, OfLongLayersAreInProportionToASample) {
  TopkOptions options;
  options.index_coding = "rice";
  const TopkCodec codec(options);
  const double of_sample = expected_bytes(codec, {0, 64, 4096});  // the most that is compressed
  EXPECT_NEAR(expected_bytes(codec, {0, 100'000, 4096}) / 100'000, of_sample / 64, 1e-3 * of_sample / 64);
}

}  // namespace
}  // namespace thinwire::compressors

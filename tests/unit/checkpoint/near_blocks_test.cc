// Levels and scales of blocks: how far off, and which way. Bounds come from the formulas of near/blocks.h.
#include "checkpoint/near/blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/draw.h"
#include "base/error.h"

namespace thinwire::checkpoint::near {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Of = Form::Of;
constexpr float kMax = std::numeric_limits<float>::max(), kMin = std::numeric_limits<float>::denorm_min();

std::vector<float> there_and_back(const Form& form, const std::vector<float>& numbers) {
  const auto blocks = quantize(form, numbers);
  EXPECT_TRUE(blocks);
  std::vector<float> back(numbers.size());
  dequantize(form, blocks->levels, blocks->scales, back, "test");
  return back;
}

double largest_of_block(const std::vector<float>& numbers, size_t i) {
  double largest = 0;
  for (size_t j = i / kBlock * kBlock; j < std::min(numbers.size(), i / kBlock * kBlock + kBlock); ++j)
    largest = std::max(largest, std::abs(double(numbers[j])));
  return largest;
}

// Every magnitude from denormals to the largest, in blocks of one size and in blocks of many; the last block is short.
std::vector<float> numbers_of_all_sizes() {
  const Draw draw(5);
  std::vector<float> numbers;
  for (int exponent = -149; exponent <= 127; exponent += 6) {
    for (size_t i = 0; i < kBlock; ++i) numbers.push_back(static_cast<float>(std::ldexp(draw.normal(numbers.size()) / 8, exponent)));
  }
  for (size_t i = 0; i < 10 * kBlock + 77; ++i)
    numbers.push_back(static_cast<float>(std::ldexp(draw.normal(numbers.size()), static_cast<int>(draw.below(i, 200)) - 100)));
  numbers[3] = 0, numbers[4] = -0.0f, numbers[5] = kMin, numbers[numbers.size() - 5] = kMax, numbers[numbers.size() - 6] = -kMax;
  return numbers;
}

TEST(NearBlocks, ValuesAreWithinHalfALevelOfTheirBlock) {
  const auto numbers = numbers_of_all_sizes();
  for (const int bits : {8, 4}) {
    const Form form{Of::values, bits};
    EXPECT_DOUBLE_EQ(form.tolerance(), bits == 8 ? 1.0 / 254 : 1.0 / 14);
    const auto back = there_and_back(form, numbers);
    for (size_t i = 0; i < numbers.size(); ++i) {
      // Rounding of the scale moves a level by 2^-24 of itself; among denormals by one unit at most, times the level.
      const double bound = form.tolerance() * largest_of_block(numbers, i) * (1 + 0x1p-20) + form.q() * double(kMin);
      ASSERT_NEAR(back[i], numbers[i], bound) << bits << " bits, element " << i;
    }
  }
}

TEST(NearBlocks, RootsAreNeverTooSmallAndWithinALevelOfTheirBlock) {
  auto numbers = numbers_of_all_sizes();
  for (float& x : numbers) x = std::min(std::abs(x), 1e37f);
  for (const int bits : {8, 4}) {
    const Form form{Of::roots, bits};
    EXPECT_DOUBLE_EQ(form.tolerance(), bits == 8 ? 1.0 / 255 : 1.0 / 15);
    const auto back = there_and_back(form, numbers);
    for (size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_GE(back[i], numbers[i]) << bits << " bits, element " << i;
      ASSERT_EQ(back[i] == 0, numbers[i] == 0) << i;
      const double bound = form.tolerance() * std::sqrt(largest_of_block(numbers, i));
      ASSERT_LE(std::sqrt(double(back[i])) - std::sqrt(double(numbers[i])), bound * (1 + 0x1p-20) + std::sqrt(double(kMin))) << i;
    }
  }
}

// Scale 1, so that levels are the numbers: ties go to even, and nothing goes beyond the largest.
TEST(NearBlocks, OfKnownNumbers) {
  EXPECT_THAT(there_and_back({Of::values, 8}, {127, 0.5f, 1.5f, -2.5f, -3.49f, 0.4f}), ElementsAre(127, 0, 2, -2, -3, 0));
  EXPECT_THAT(there_and_back({Of::values, 4}, {-7, 0.5f, 3.4f, 6.6f}), ElementsAre(-7, 0, 3, 7));
  EXPECT_THAT(there_and_back({Of::roots, 8}, {255 * 255, 1, 2, 4, 4.001f, 1e-30f, 0}), ElementsAre(65025, 1, 4, 4, 9, 1, 0));
  EXPECT_THAT(there_and_back({Of::roots, 4}, {225, 100, 101, 0.01f}), ElementsAre(225, 100, 121, 1));
}

TEST(NearBlocks, ABlockDoesNotKnowItsNeighbours) {
  std::vector<float> numbers(2 * kBlock, 1e-6f);
  numbers[0] = 1000;
  const auto back = there_and_back({Of::values, 8}, numbers);
  EXPECT_EQ(back[1], 0);
  EXPECT_FLOAT_EQ(back[kBlock], 1e-6f);
}

// What was quantised once is its own nearest.
TEST(NearBlocks, TwiceIsOnceToTheLastPlace) {
  const Draw draw(9);
  std::vector<float> numbers(5 * kBlock);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(draw.normal(i));
  const auto once = there_and_back({Of::values, 8}, numbers), twice = there_and_back({Of::values, 8}, once);
  for (size_t i = 0; i < once.size(); ++i) ASSERT_NEAR(twice[i], once[i], 1e-6 * std::abs(once[i]));
}

TEST(NearBlocks, WhatHasNoFormIsToldApart) {
  for (const float odd :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (const Of of : {Of::values, Of::roots}) EXPECT_FALSE(quantize({of, 8}, std::vector<float>{1, odd, 2}));
  }
  EXPECT_FALSE(quantize({Of::roots, 8}, std::vector<float>{1, -1e-30f}));
  EXPECT_TRUE(quantize({Of::values, 4}, std::vector<float>{-kMax, kMax}));
  EXPECT_TRUE(quantize({Of::values, 4}, {}));
}

TEST(NearBlocks, ForeignLevelsAndScalesAreRefused) {
  std::vector<float> back(1);
  const auto decode = [&](const Form& form, uint8_t level, float scale) {
    dequantize(form, std::vector<uint8_t>{level}, std::vector<float>{scale}, back, "a file");
    return back[0];
  };
  EXPECT_EQ(decode({Of::values, 4}, 14, 2), 14);
  EXPECT_EQ(decode({Of::roots, 4}, 15, 2), 900);
  EXPECT_THROW(decode({Of::values, 4}, 15, 2), CorruptData);
  EXPECT_THROW(decode({Of::values, 8}, 255, 2), CorruptData);
  EXPECT_THROW(decode({Of::roots, 4}, 16, 2), CorruptData);
  for (const float scale : {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), kMax}) {
    EXPECT_THROW(decode({Of::values, 8}, 0, scale), CorruptData) << scale;
    EXPECT_THROW(decode({Of::roots, 8}, 0, scale), CorruptData) << scale;
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::near

// Residuals in 8 bits: a block's scale bounds what a rounding is off by, roundings are unbiased, and no finite value becomes another kind.
#include "exchange/feedback/int8_residual.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/unit/exchange/policies.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

constexpr size_t kResidualElems = 2 * Int8Residual::kBlock + 44;  // the last block is short

SlotTable one_slot() { return SlotTable({slot("weight", kResidualElems, topk_codec().codec)}, 1'000'000); }

// What these residuals are after one rest in memory.
Values rested(Int8Residual& feedback, const Values& values) {
  Values x(values.size(), 0.0f);
  OpenRange range;
  feedback.open(range, x);
  const compressors::In in = feedback.in(range, 0, 0, x.data());
  std::ranges::copy(values, in.residual);
  feedback.sent(range, values.size(), {});
  Values unpacked;
  const auto found = feedback.residual(0, unpacked);
  return {found.begin(), found.end()};
}

double scale_of(const Values& values, size_t i) {
  const size_t first = i / Int8Residual::kBlock * Int8Residual::kBlock, end = std::min(values.size(), first + Int8Residual::kBlock);
  double largest = 0;
  for (size_t k = first; k < end; ++k) largest = std::max<double>(largest, std::fabs(values[k]));
  return largest == 0 ? 0 : largest / 127 + std::numeric_limits<float>::denorm_min();
}

Values scaled(float factor) {
  Values values = numbers(kResidualElems, 5);
  for (float& x : values) x *= factor;
  return values;
}

TEST(Int8Residual, IsOffByLessThanItsBlocksScale) {
  const SlotTable table = one_slot();
  Int8Residual feedback(table, 1, 7);
  for (const float factor : {1.0f, 1e30f, 1e-30f, 1e-40f, 1e-44f}) {
    const Values values = scaled(factor), found = rested(feedback, values);
    for (size_t i = 0; i < kResidualElems; ++i) {
      ASSERT_LE(std::fabs(static_cast<double>(found[i]) - values[i]), scale_of(values, i) * (1 + 0x1p-20)) << factor << ", element " << i;
    }
  }
}

// A block of one magnitude is all its largest: nothing to round but the scale.
TEST(Int8Residual, KeepsExtremesFinite) {
  const SlotTable table = one_slot();
  Int8Residual feedback(table, 1, 7);
  for (const float most :
       {std::numeric_limits<float>::max(), std::numeric_limits<float>::min(), std::numeric_limits<float>::denorm_min()}) {
    for (const float x : rested(feedback, Values(kResidualElems, most))) {
      ASSERT_TRUE(std::isfinite(x));
      if (most >= std::numeric_limits<float>::min() * 127) {
        ASSERT_NEAR(x / most, 1, 0x1p-22);
      }
    }
  }
  for (const float x : rested(feedback, Values(kResidualElems, 0.0f))) ASSERT_EQ(x, 0);
}

// n draws of a dither that moves a value by at most one scale: by Hoeffding, a mean off by t scales has probability 2 exp(-2 n t^2). With
// n = 4000 and t = 0.07 this is 2e-17, a hundred thousand elements and factors notwithstanding.
TEST(Int8Residual, IsRightOnAverage) {
  constexpr int kDraws = 4000;
  const SlotTable table = one_slot();
  Int8Residual feedback(table, 1, 11);
  for (const float factor : {1.0f, 1e-38f, 1e-43f}) {
    const Values values = scaled(factor);
    std::vector<double> sums(kResidualElems);
    for (int k = 0; k < kDraws; ++k) {
      const Values found = rested(feedback, values);
      for (size_t i = 0; i < kResidualElems; ++i) sums[i] += found[i];
    }
    for (size_t i = 0; i < kResidualElems; ++i) ASSERT_NEAR(sums[i] / kDraws, values[i], 0.07 * scale_of(values, i)) << "element " << i;
  }
}

TEST(Int8Residual, TakesAQuarterOfTheMemory) {
  const SlotTable table = one_slot();
  size_t bytes = 0;
  Int8Residual feedback(table, 1, 7);
  for (const StatePiece& piece : feedback.state(0)) bytes += piece.memory.size();
  EXPECT_EQ(bytes, kResidualElems + 3 * sizeof(float) + sizeof(int64_t));
}

}  // namespace
}  // namespace thinwire::exchange

#include "compressors/lowrank/powersgd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sketch_support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

using Rounds = std::vector<size_t>;

Layer matrix_of(int64_t rows, int64_t cols) { return {.id = 3, .rows = rows, .cols = cols}; }

std::shared_ptr<const PowersgdSketch> sketch_of(int64_t rank, bool warm_start = true) {
  return std::make_shared<PowersgdSketch>(PowersgdOptions{.rank = rank, .min_compression = 0, .warm_start = warm_start});
}

TEST(Powersgd, SendsTwoFactorsOrTheLayerItself) {
  const PowersgdSketch sketch({});
  EXPECT_EQ(sketch.round_elems(matrix_of(100, 60)), (Rounds{400, 240}));  // (100 + 60) * 4 * 2 = 1280 < 6000
  EXPECT_EQ(sketch.round_elems(matrix_of(16, 16)), (Rounds{256}));        // (16 + 16) * 4 * 2 = 256 is not below 256
  EXPECT_EQ(sketch.round_elems(matrix_of(16, 17)), (Rounds{64, 68}));     // 264 < 272
  EXPECT_EQ(sketch.round_elems(matrix_of(1, 1000)), (Rounds{1000}));
  EXPECT_EQ(sketch.round_elems(matrix_of(2, 1000)), (Rounds{2000}));  // rank 2: 1002 * 2 * 2 is more than 2000
  EXPECT_EQ(sketch.memory_elems(matrix_of(1, 1000)), 0u);
  EXPECT_EQ(sketch.traits(matrix_of(1, 1000)).delta, 1);
  EXPECT_EQ(sketch.memory_elems(matrix_of(100, 60)), 640u);
}

TEST(Powersgd, HasNoMoreColumnsThanTheMatrix) {
  EXPECT_EQ(sketch_of(5)->round_elems(matrix_of(3, 8)), (Rounds{9, 24}));
  EXPECT_EQ(sketch_of(5)->round_elems(matrix_of(8, 2)), (Rounds{16, 4}));
  EXPECT_EQ(sketch_of(5)->round_elems(matrix_of(1, 1)), (Rounds{1, 1}));
  EXPECT_EQ(sketch_of(5)->round_elems(matrix_of(0, 9)), (Rounds{0}));
}

double relative_error(const std::vector<float>& a, const std::vector<float>& decoded) {
  return std::sqrt(squared_distance(a, decoded) / square_sum(a));
}

TEST(Powersgd, IsExactOnMatricesOfItsRank) {
  for (const size_t true_rank : {1, 2, 4}) {
    const Layer layer = matrix_of(40, 29);
    const std::vector<float> a = low_rank_values(layer, true_rank, 0.8, 1);
    SketchRanks ranks(sketch_of(4), layer, 1);
    for (int exchange = 0; exchange < 4; ++exchange) EXPECT_LT(relative_error(a, ranks.exchange({a}).all), 3e-6) << "rank " << true_rank;
  }
}

TEST(Powersgd, IsExactOnRowsAndColumns) {
  for (const Layer layer : {matrix_of(1, 30), matrix_of(30, 1), matrix_of(1, 1), matrix_of(2, 2)}) {
    const std::vector<float> a = normal_values(static_cast<size_t>(layer.elems()), 3);
    SketchRanks ranks(sketch_of(4), layer, 1);
    EXPECT_LT(relative_error(a, ranks.exchange({a}).all), 3e-6);
  }
}

// With a warm start, exchanges of one matrix are subspace iteration: what is left approaches the squares of the singular values from
// the rank on (Eckart and Young), from above; each step multiplies the excess by about (s_5 / s_4)^4.
TEST(Powersgd, ApproachesTheBestApproximationOfItsRank) {
  const Layer layer = matrix_of(50, 35);
  const std::vector<float> a = low_rank_values(layer, 12, 0.6, 2);
  const double best = squares_from(singular_values(layer, a), 4);
  SketchRanks warm(sketch_of(4), layer, 1), cold(sketch_of(4, false), layer, 1);
  double first = 0, last = 0, cold_best = std::numeric_limits<double>::max();
  for (int exchange = 0; exchange < 12; ++exchange) {
    last = squared_distance(a, warm.exchange({a}).all);
    if (exchange == 0) first = last;
    EXPECT_GE(last, best * (1 - 1e-4));
    cold_best = std::min(cold_best, squared_distance(a, cold.exchange({a}).all));
  }
  EXPECT_LT(last, best * 1.002);
  EXPECT_GT(first, best * 1.1);
  EXPECT_GT(cold_best, best * 1.02);  // starts anew each time
}

// Over several ranks it is the mean whose subspace is followed, though each rank projects its own matrix on it.
TEST(Powersgd, ApproachesTheBestApproximationOfTheMean) {
  const Layer layer = matrix_of(24, 30);
  const std::vector<float> mean = low_rank_values(layer, 3, 1, 2), noise = normal_values(mean.size(), 8);
  std::vector<float> plus = mean, minus = mean;
  for (size_t i = 0; i < mean.size(); ++i) {
    plus[i] += noise[i];
    minus[i] -= noise[i];
  }
  SketchRanks ranks(sketch_of(3), layer, 2);
  EXPECT_LT(relative_error(mean, ranks.exchange({plus, minus}).all), 1e-5);
}

TEST(Powersgd, FindsItsWayBackFromZero) {
  const Layer layer = matrix_of(30, 20);
  const std::vector<float> zero(600, 0.0f), a = low_rank_values(layer, 4, 0.9, 5);
  for (const bool warm_start : {true, false}) {
    SketchRanks ranks(sketch_of(4, warm_start), layer, 2);
    for (int exchange = 0; exchange < 3; ++exchange) EXPECT_EQ(ranks.exchange({zero, zero}).all, zero);
    EXPECT_LT(relative_error(a, ranks.exchange({a, a}).all), 3e-6);
  }
}

// After a matrix of rank one the basis must not be stuck at rank one.
TEST(Powersgd, RegainsItsRankAfterOneThatWasDeficient) {
  const Layer layer = matrix_of(30, 20);
  const std::vector<float> one = low_rank_values(layer, 1, 1, 5), four = low_rank_values(layer, 4, 0.9, 6);
  SketchRanks ranks(sketch_of(4), layer, 1);
  for (int exchange = 0; exchange < 3; ++exchange) EXPECT_LT(relative_error(one, ranks.exchange({one}).all), 3e-6);
  ranks.exchange({four});
  EXPECT_LT(relative_error(four, ranks.exchange({four}).all), 3e-6);
}

TEST(Powersgd, DoesNotCareAboutScale) {
  const Layer layer = matrix_of(30, 20);
  const std::vector<float> a = normal_values(600, 1);
  for (const float scale : {0x1p-90f, 0x1p+120f}) {
    std::vector<float> scaled = a;
    for (float& value : scaled) value *= scale;
    SketchRanks ranks(sketch_of(4), layer, 1), plain(sketch_of(4), layer, 1);
    std::vector<float> expected = plain.exchange({a}).all;
    for (float& value : expected) value *= scale;
    EXPECT_EQ(ranks.exchange({scaled}).all, expected);
  }
}

// A constant matrix of the largest number is of rank one; its inner products would overflow by far.
TEST(Powersgd, SendsTheLargestNumbers) {
  const std::vector<float> a(64 * 48, kLargest);
  SketchRanks ranks(sketch_of(2), matrix_of(64, 48), 2);
  EXPECT_LT(relative_error(a, ranks.exchange({a, a}).all), 3e-6);
}

TEST(Powersgd, TellsAPlannerItsErrorAtManyRanks) {
  const Layer layer = matrix_of(60, 40);  // raw where 100 r 2 >= 2400: from rank 12 on
  const std::vector<float> a = low_rank_values(layer, 20, 0.7, 4);
  const std::vector<double> singular = singular_values(layer, a), ranks{1, 3, 8, 11, 12, 32};
  const std::vector<double> errors = squared_errors_of(PowersgdOptions{}, layer, a, ranks);
  ASSERT_EQ(errors.size(), ranks.size());
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(errors[i] / squares_from(singular, static_cast<size_t>(ranks[i])), 1, 0.01) << "rank " << ranks[i];
  }
  EXPECT_EQ(errors[4], 0);
  EXPECT_EQ(errors[5], 0);
  EXPECT_EQ(squared_errors_of({}, matrix_of(1, 2400), a, ranks), std::vector<double>(6, 0.0));
  EXPECT_TRUE(squared_errors_of({}, layer, a, {}).empty());
}

TEST(Powersgd, StartsFromDrawsOfItsLayer) {
  const auto sketch = sketch_of(2);
  const auto started = [&](uint32_t id, uint64_t seed) {
    std::vector<float> memory(sketch->memory_elems(matrix_of(9, 8)));
    sketch->start({.id = id, .rows = 9, .cols = 8}, Draw(seed), memory);
    return memory;
  };
  EXPECT_EQ(started(1, 5), started(1, 5));
  EXPECT_NE(started(1, 5), started(2, 5));
  EXPECT_NE(started(1, 5), started(1, 6));
}

}  // namespace
}  // namespace thinwire::compressors

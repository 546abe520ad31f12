#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <vector>

#include "base/check.h"

namespace thinwire::data {
namespace {

constexpr int64_t kContext = 16;
const std::vector<int64_t> kWindowCounts = {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097};

// Tokens for exactly `windows` windows and some left over.
WindowSampler sampler_of(int64_t windows, int64_t left_over = 5, uint64_t seed = 1) {
  return WindowSampler(seed, windows * kContext + 1 + left_over, kContext);
}
std::vector<int64_t> starts_of(const WindowSampler& sampler, int64_t first, int64_t count) {
  std::vector<int64_t> starts;
  for (int64_t i = first; i < first + count; ++i) starts.push_back(sampler.start(i));
  return starts;
}

TEST(WindowSampler, CutsTheCorpusIntoWholeWindows) {
  EXPECT_EQ(WindowSampler(1, 17, 16).num_windows(), 1);
  EXPECT_EQ(WindowSampler(1, 32, 16).num_windows(), 1);  // the second window's last target would be token 32
  EXPECT_EQ(WindowSampler(1, 33, 16).num_windows(), 2);
}

TEST(WindowSampler, VisitsEveryWindowOncePerEpoch) {
  for (const int64_t windows : kWindowCounts) {
    const WindowSampler sampler = sampler_of(windows);
    ASSERT_EQ(sampler.num_windows(), windows);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<int64_t> starts = starts_of(sampler, epoch * windows, windows);
      std::sort(starts.begin(), starts.end());
      for (int64_t w = 0; w < windows; ++w) ASSERT_EQ(starts[w], starts[0] + w * kContext) << windows << " windows, epoch " << epoch;
    }
  }
}

TEST(WindowSampler, NeverLeavesTheCorpus) {
  for (const int64_t windows : kWindowCounts) {
    for (int64_t left_over = 0; left_over < kContext; ++left_over) {
      const WindowSampler sampler = sampler_of(windows, left_over);
      const int64_t num_tokens = windows * kContext + 1 + left_over;
      for (int64_t i = 0; i < std::min<int64_t>(3 * windows, 300); ++i) {
        ASSERT_GE(sampler.start(i), 0);
        ASSERT_LT(sampler.start(i) + kContext, num_tokens);
      }
    }
  }
}

TEST(WindowSampler, ShiftsTheCutByEveryNumberOfTokensLeftOver) {
  const WindowSampler sampler = sampler_of(1, 3);
  std::map<int64_t, int> shifts;
  for (int64_t epoch = 0; epoch < 400; ++epoch) ++shifts[sampler.start(epoch)];
  ASSERT_EQ(shifts.size(), 4u);  // 0 to 3, each of probability 1/4: 100 +- 5 standard deviations of 8.7
  for (const auto& [shift, count] : shifts) EXPECT_NEAR(count, 100, 44) << shift;
}

TEST(WindowSampler, EpochsAndSeedsDiffer) {
  const WindowSampler sampler = sampler_of(1000, 0);
  const auto first = starts_of(sampler, 0, 1000);
  EXPECT_NE(first, starts_of(sampler, 1000, 1000));
  EXPECT_NE(first, starts_of(sampler_of(1000, 0, 2), 0, 1000));
  EXPECT_EQ(first, starts_of(sampler_of(1000, 0), 0, 1000));
}

// Under a uniform permutation Spearman's rho has mean 0 and variance 1 / (W - 1), of position and window as of window and next window.
TEST(WindowSampler, OrderIsUncorrelatedWithPositionAndNeighbours) {
  constexpr int64_t kWindows = 4097;
  const double half = (kWindows - 1) / 2.0, variance = (static_cast<double>(kWindows) * kWindows - 1) / 12;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const auto starts = starts_of(sampler_of(kWindows, 0, seed), 0, kWindows);
    double with_position = 0, with_next = 0;
    for (int64_t i = 0; i < kWindows; ++i) {
      const double window = static_cast<double>(starts[i] / kContext) - half;
      with_position += window * (static_cast<double>(i) - half);
      with_next += window * (static_cast<double>(starts[(i + 1) % kWindows] / kContext) - half);
    }
    EXPECT_LT(std::abs(with_position / (variance * kWindows)), 5 / std::sqrt(kWindows - 1.0));
    EXPECT_LT(std::abs(with_next / (variance * kWindows)), 5 / std::sqrt(kWindows - 1.0));
  }
}

// The mean distance of two different values of [0, W) is (W + 1) / 3; sorted order has 1.
TEST(WindowSampler, ConsecutiveSamplesAreFarApart) {
  constexpr int64_t kWindows = 1000;
  const auto starts = starts_of(sampler_of(kWindows, 0), 0, kWindows);
  double sum = 0;
  for (size_t i = 1; i < starts.size(); ++i) sum += static_cast<double>(std::abs(starts[i] - starts[i - 1])) / kContext;
  EXPECT_NEAR(sum / (kWindows - 1), (kWindows + 1) / 3.0, 40);  // standard deviation about 0.236 W / sqrt(W) = 7.5
}

TEST(WindowSampler, EveryOrderOfThreeWindowsIsAboutEquallyLikely) {
  const WindowSampler sampler = sampler_of(3, 0);
  std::map<std::vector<int64_t>, int> orders;
  constexpr int kEpochs = 6000;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) ++orders[starts_of(sampler, 3 * epoch, 3)];
  ASSERT_EQ(orders.size(), 6u);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, kEpochs / 6, 150);  // five standard deviations of 29
}

TEST(WindowSampler, AnyWorldSizeSeesTheSameGlobalBatches) {
  constexpr int64_t kGlobalBatch = 12;
  const WindowSampler one_process = sampler_of(100);
  for (int64_t step = 0; step < 20; ++step) {
    const auto together = starts_of(one_process, step * kGlobalBatch, kGlobalBatch);
    for (const int64_t world : {1, 2, 3, 4, 6, 12}) {
      std::vector<int64_t> gathered;
      for (int64_t rank = 0; rank < world; ++rank) {
        const WindowSampler own = sampler_of(100);  // each rank makes its own from the seed
        const auto share = starts_of(own, step * kGlobalBatch + rank * (kGlobalBatch / world), kGlobalBatch / world);
        gathered.insert(gathered.end(), share.begin(), share.end());
      }
      ASSERT_EQ(gathered, together) << "world " << world;
    }
  }
}

TEST(WindowSampler, WorksFarIntoAHugeCorpus) {
  constexpr int64_t kTokens = 8'000'000'000;
  const WindowSampler sampler(1, kTokens, 256);
  std::set<int64_t> starts;
  for (int64_t i = 0; i < 1000; ++i) {
    const int64_t start = sampler.start(1'000'000'000'000 + i);
    ASSERT_GE(start, 0);
    ASSERT_LT(start + 256, kTokens);
    starts.insert(start);
  }
  EXPECT_GE(starts.size(), 999u);  // at most one seam between epochs among them
  EXPECT_GT(*starts.rbegin() - *starts.begin(), kTokens / 2);
}

TEST(ItemSampler, VisitsEveryItemOncePerEpochInAnotherOrder) {
  for (const int64_t items : kWindowCounts) {
    const ItemSampler sampler(1, items);
    std::vector<std::vector<int64_t>> epochs(3);
    for (int64_t i = 0; i < 3 * items; ++i) epochs[static_cast<size_t>(i / items)].push_back(sampler.item(i));
    EXPECT_TRUE(items < 16 || epochs[0] != epochs[1]);
    for (auto& epoch : epochs) {
      std::sort(epoch.begin(), epoch.end());
      for (int64_t i = 0; i < items; ++i) ASSERT_EQ(epoch[static_cast<size_t>(i)], i) << items << " items";
    }
  }
}

TEST(ItemSampler, OrderDependsOnTheSeedAlone) {
  const auto order = [](uint64_t seed) {
    const ItemSampler sampler(seed, 1000);
    std::vector<int64_t> items;
    for (int64_t i = 0; i < 1000; ++i) items.push_back(sampler.item(i));
    return items;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
}

TEST(ItemSampler, RefusesAnEmptySetAndNegativeSamples) {
  EXPECT_THROW(ItemSampler(1, 0), BrokenInvariant);
  EXPECT_THROW(ItemSampler(1, 3).item(-1), BrokenInvariant);
}

TEST(WindowSampler, RefusesLessThanAWindowAndNegativeSamples) {
  EXPECT_THROW(WindowSampler(1, 16, 16), BrokenInvariant);
  EXPECT_THROW(WindowSampler(1, 17, 0), BrokenInvariant);
  EXPECT_THROW(sampler_of(1).start(-1), BrokenInvariant);
}

}  // namespace
}  // namespace thinwire::data

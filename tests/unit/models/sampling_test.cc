#include "models/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "base/error.h"

namespace thinwire::models {
namespace {

// Logarithms of probabilities, so that softmax gives these back.
std::vector<float> scores_of(const std::vector<double>& probabilities) {
  std::vector<float> scores;
  for (const double p : probabilities) scores.push_back(static_cast<float>(std::log(p)));
  return scores;
}

// The share of [0, 1) that each token is drawn for, on a grid.
std::map<int64_t, double> shares(const std::vector<float>& scores, const SamplingOptions& options) {
  constexpr int kGrid = 10'000;
  std::map<int64_t, double> share;
  for (int i = 0; i < kGrid; ++i) share[draw_token(scores, options, (i + 0.5) / kGrid)] += 1.0 / kGrid;
  return share;
}

void expect_shares(const std::map<int64_t, double>& found, const std::map<int64_t, double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [token, share] : expected) EXPECT_NEAR(found.at(token), share, 2e-4) << token;
}

const std::vector<float> kFour = scores_of({0.1, 0.4, 0.2, 0.3});

TEST(Sampling, DrawsEachTokenWithItsProbability) { expect_shares(shares(kFour, {}), {{0, 0.1}, {1, 0.4}, {2, 0.2}, {3, 0.3}}); }

TEST(Sampling, TemperatureRaisesProbabilitiesToItsInverse) {
  const double sum = 0.01 + 0.16 + 0.04 + 0.09;  // temperature 1/2: squares
  expect_shares(shares(kFour, {.temperature = 0.5}), {{0, 0.01 / sum}, {1, 0.16 / sum}, {2, 0.04 / sum}, {3, 0.09 / sum}});
}

TEST(Sampling, TemperatureZeroTakesTheLikeliestAndOfEqualOnesTheFirst) {
  expect_shares(shares(kFour, {.temperature = 0}), {{1, 1}});
  EXPECT_EQ(draw_token(std::vector<float>{0, 2, 2, 1}, {.temperature = 0}, 0.99), 1);
}

TEST(Sampling, TopKKeepsTheLikeliest) {
  expect_shares(shares(kFour, {.top_k = 2}), {{1, 4.0 / 7}, {3, 3.0 / 7}});
  expect_shares(shares(kFour, {.top_k = 1}), {{1, 1}});
  expect_shares(shares(kFour, {.top_k = 9}), {{0, 0.1}, {1, 0.4}, {2, 0.2}, {3, 0.3}});
  expect_shares(shares(std::vector<float>{1, 1, 1}, {.top_k = 2}), {{0, 0.5}, {1, 0.5}});
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
  expect_shares(shares(kFour, {.top_p = 0.6}), {{1, 4.0 / 7}, {3, 3.0 / 7}});  // 0.4 is not enough, 0.7 is
  expect_shares(shares(kFour, {.top_p = 0.3}), {{1, 1}});
  expect_shares(shares(kFour, {.top_p = 0.85}), {{1, 4.0 / 9}, {3, 3.0 / 9}, {2, 2.0 / 9}});
}

TEST(Sampling, TopPCountsWhatTopKHasLeft) {
  // Of 4/9, 3/9, 2/9 the first two reach 0.75; of all four they would reach only 0.7.
  expect_shares(shares(kFour, {.top_k = 3, .top_p = 0.75}), {{1, 4.0 / 7}, {3, 3.0 / 7}});
}

TEST(Sampling, AnImpossibleTokenIsNeverDrawn) {
  const float never = -std::numeric_limits<float>::infinity();
  expect_shares(shares({never, 0, never, 0}, {}), {{1, 0.5}, {3, 0.5}});
}

TEST(Sampling, ScoresThatAreNoNumbersAreAnErrorThatNamesTheToken) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    try {
      draw_token(std::vector<float>{0, 1, bad}, {}, 0.5);
      FAIL();
    } catch (const NonFiniteError& e) {
      EXPECT_NE(std::string(e.what()).find("token 2"), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace thinwire::models

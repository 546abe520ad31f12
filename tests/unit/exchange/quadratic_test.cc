// Which policy wins where: the readings of the table in docs/methods/error_feedback.md, and the table itself.
#include "tests/unit/exchange/quadratic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "tests/support/sanitized.h"

namespace thinwire::exchange {
namespace {

using testing::Quadratic;

constexpr uint64_t kSteps = test::kSanitized ? 4'000 : 10'000;
constexpr double kDelta = Quadratic::kDelta;

const Quadratic& problem() {
  static const Quadratic quadratic;
  return quadratic;
}

struct Distance {
  double gamma, sigma;
  uint64_t steps = kSteps;
  double operator()(const std::optional<FeedbackOptions>& policy) const { return problem().distance(policy, {gamma, sigma, steps}); }
  double sgd() const { return (*this)(std::nullopt); }
  double ef14() const { return (*this)(FeedbackOptions{.name = "ef14"}); }
  double ef21() const { return (*this)(FeedbackOptions{.name = "ef21"}); }
  double sgdm() const { return (*this)(FeedbackOptions{.name = "ef21_sgdm", .beta = 0.1}); }
  double econtrol(double eta) const { return (*this)(FeedbackOptions{.name = "econtrol", .eta = eta}); }
};

// Workers disagree at the optimum: what ef14 holds back of them is never zero, and its floor grows with the square of the step.
TEST(Quadratic, LeavesEf14OnAFloorThatTheOthersDoNotHave) {
  const Distance large{0.1, 0}, small{0.01, 0};
  EXPECT_GT(large.ef14(), 1);
  EXPECT_NEAR(large.ef14() / small.ef14(), 100, 30);
  EXPECT_LT(large.ef21(), 1e-4);
  EXPECT_LT(large.sgdm(), 1e-4);
  EXPECT_LT(large.econtrol(kDelta), 1e-4);
  EXPECT_LT(large.econtrol(kDelta / 10), 1e-2);
}

TEST(Quadratic, DivergesUnderEcontrolOfTooMuchGain) {
  EXPECT_TRUE(std::isinf((Distance{0.1, 0}).econtrol(1)));
  EXPECT_TRUE(std::isinf((Distance{0.01, 0}).econtrol(1)));
  EXPECT_TRUE(std::isinf((Distance{0.01, 1}).econtrol(1)));
  EXPECT_TRUE(std::isinf((Distance{0.1, 0}).econtrol(4 * kDelta)));
  EXPECT_LT((Distance{0.01, 0}).econtrol(2 * kDelta), 1) << "a small step forgives it";
}

TEST(Quadratic, OfNoisyGradientsIsWonByMomentumAndLostByEf21) {
  const Distance noisy{0.03, 1};
  const double sgd = noisy.sgd(), sgdm = noisy.sgdm(), ef14 = noisy.ef14(), ef21 = noisy.ef21();
  const double gains[] = {noisy.econtrol(kDelta), noisy.econtrol(kDelta / 2), noisy.econtrol(kDelta / 10), noisy.econtrol(kDelta / 400)};
  EXPECT_LT(sgd, sgdm);
  EXPECT_LT(sgdm, ef14);
  EXPECT_LT(ef14, gains[0]);
  EXPECT_LT(gains[0], gains[1]);
  EXPECT_LT(gains[1], gains[2]);
  EXPECT_LT(gains[2], ef21);
  EXPECT_NEAR(gains[3] / ef21, 1, 0.2) << "with almost no gain econtrol is ef21";
}

TEST(Quadratic, IsTheSameToTheBitUnderEf21AndEcontrolWithoutGain) {
  for (const Distance& setting : {Distance{0.1, 0}, Distance{0.03, 1}}) {
    const Quadratic::Setting short_run{setting.gamma, setting.sigma, 500};
    for (const char* start : {"dense", "zero"}) {
      EXPECT_EQ(problem().distance(FeedbackOptions{.name = "econtrol", .eta = 0.0, .start = start}, short_run),
                problem().distance(FeedbackOptions{.name = "ef21", .start = start}, short_run));
    }
  }
}

// Takes half a minute: exchange_test --gtest_also_run_disabled_tests --gtest_filter='Quadratic.*Table'
TEST(Quadratic, DISABLED_Table) {
  for (const auto& [gamma, sigma] : {std::pair{0.1, 0.0}, {0.01, 0.0}, {0.1, 1.0}, {0.03, 1.0}, {0.01, 1.0}}) {
    const Distance row{gamma, sigma, 20'000};
    std::printf("| sigma %g, gamma %g | %.2g | %.2g | %.2g | %.2g |", sigma, gamma, row.sgd(), row.ef14(), row.ef21(), row.sgdm());
    for (const double eta : {kDelta / 400, kDelta / 10, kDelta / 2, kDelta, 2 * kDelta, 1.0}) std::printf(" %.2g |", row.econtrol(eta));
    std::printf("\n");
  }
}

}  // namespace
}  // namespace thinwire::exchange

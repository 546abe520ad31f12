#include "trainer/precision.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "tests/support/run_ranks.h"

namespace thinwire::trainer {
namespace {

constexpr double kWait_s = 60;

std::unique_ptr<models::Model> small_model() {
  models::ModelOptions o;
  o.d_model = 32;
  o.layers = 2;
  o.heads = 4;
  o.context = 16;
  return models::make_model(o, 40, 3);
}

at::Tensor tokens() { return at::arange(32, at::kLong).view({2, 16}); }

// Puts the setting of the process back, whatever a test does.
class PrecisionTest : public testing::Test {
 protected:
  ~PrecisionTest() override { set_process_precision("fp32"); }
};

at::Float32MatmulPrecision now() { return at::globalContext().float32MatmulPrecision(); }

TEST_F(PrecisionTest, AutoTakesOneModeOnAllRanksAndSaysWhatWasMeasured) {
  std::mutex mutex;
  std::set<std::string> used, reasons;
  test::run_ranks(3, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kWait_s);
    const auto chosen = choose_precision(driver, "auto", *small_model(), 32);
    const std::lock_guard lock(mutex);
    used.insert(chosen.used);
    reasons.insert(chosen.reason);
  });
  ASSERT_EQ(used.size(), 1u);
  ASSERT_EQ(reasons.size(), 1u);
  EXPECT_TRUE((std::set<std::string>{"fp32", "medium", "bf16"}.contains(*used.begin()))) << *used.begin();
  for (const char* word : {"fp32 ", "medium", "bf16 ", "Gflop/s"})
    EXPECT_NE(reasons.begin()->find(word), std::string::npos) << *reasons.begin();
}

TEST_F(PrecisionTest, WhatIsAskedForIsNotMeasured) {
  test::run_ranks(2, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kWait_s);
    const auto chosen = choose_precision(driver, "medium", *small_model(), 32);
    EXPECT_EQ(chosen.used, "medium");
    EXPECT_EQ(chosen.reason, "");
  });
}

TEST_F(PrecisionTest, MediumIsASettingOfTheProcessAndFp32TakesItBack) {
  const auto model = apply_precision({"medium", ""}, small_model());
  EXPECT_EQ(now(), at::Float32MatmulPrecision::MEDIUM);
  apply_precision({"bf16", ""}, small_model());
  EXPECT_EQ(now(), at::Float32MatmulPrecision::HIGHEST) << "what autocast leaves in fp32 is fp32";
}

TEST_F(PrecisionTest, Bf16IsCloseToFp32WithFp32GradientsAndLeavesAutocastOff) {
  const auto exact = small_model(), model = apply_precision({"bf16", ""}, small_model());
  const auto expected = exact->logits(tokens()), got = model->logits(tokens());
  EXPECT_EQ(got.scalar_type(), at::kFloat);
  EXPECT_FALSE(at::equal(got, expected)) << "nothing was rounded to bf16";
  EXPECT_LE((got - expected).norm().item<double>(), 0.02 * expected.norm().item<double>());
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));

  exact->loss(tokens(), tokens()).backward();
  model->loss(tokens(), tokens()).backward();
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    const auto &gradient = model->parameters()[i].value.grad(), &of_exact = exact->parameters()[i].value.grad();
    EXPECT_EQ(gradient.scalar_type(), at::kFloat);
    EXPECT_LE((gradient - of_exact).norm().item<double>(), 0.05 * of_exact.norm().item<double>()) << model->parameters()[i].name;
  }
}

TEST_F(PrecisionTest, Bf16IsThoseBitsAgain) {
  const auto model = apply_precision({"bf16", ""}, small_model());
  EXPECT_TRUE(at::equal(model->logits(tokens()), model->logits(tokens())));
}

}  // namespace
}  // namespace thinwire::trainer

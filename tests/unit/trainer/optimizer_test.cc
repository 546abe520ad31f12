#include "trainer/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace thinwire::trainer {
namespace {

OptimOptions options(double lr) {
  OptimOptions o;
  o.lr = lr;
  return o;
}

TEST(LearningRate, WarmsUpLinearlyAndEndsAtItsShare) {
  auto o = options(2e-3);  // warm-up 10 %, final_lr 0.1
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 300, 2048), 2e-3 / 30);
  EXPECT_DOUBLE_EQ(learning_rate(o, 30, 300, 2048), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate(o, 165, 300, 2048), 2e-3 * (0.1 + 0.9 * 0.5));  // half way down the cosine
  EXPECT_NEAR(learning_rate(o, 300, 300, 2048), 2e-4, 1e-18);
  o.schedule = "constant";
  EXPECT_DOUBLE_EQ(learning_rate(o, 299, 300, 2048), 2e-3);
}

TEST(LearningRate, WarmupMayBeZeroOrTheWholeRun) {
  auto o = options(1);
  o.warmup = {config::Amount::Unit::steps, 0};
  EXPECT_NEAR(learning_rate(o, 10, 10, 1), 0.1, 1e-15);
  o.warmup = {config::Amount::Unit::tokens, 1000};
  EXPECT_DOUBLE_EQ(learning_rate(o, 5, 10, 100), 0.5);  // 10 steps of 100 tokens
}

TEST(Clip, ScalesToTheLimitAndReportsTheNormBefore) {
  std::vector<float> g = {3, 0, 4, 0, 12};
  EXPECT_DOUBLE_EQ(clip_global_norm(g, 0), 13);
  EXPECT_EQ(g[4], 12);
  EXPECT_DOUBLE_EQ(clip_global_norm(g, 26), 13);
  EXPECT_EQ(g[4], 12);
  EXPECT_DOUBLE_EQ(clip_global_norm(g, 6.5), 13);
  EXPECT_FLOAT_EQ(g[4], 6);
}

TEST(Clip, PassesOnWhatIsNotFinite) {
  std::vector<float> g = {1, NAN};
  EXPECT_TRUE(std::isnan(clip_global_norm(g, 1)));
}

// Algorithm 2 of Loshchilov and Hutter (arXiv 1711.05101) in double.
struct ScalarAdamW {
  double m = 0, v = 0;
  double step(int t, double w, double g, double lr, double decay, const OptimOptions& o) {
    m = o.betas[0] * m + (1 - o.betas[0]) * g;
    v = o.betas[1] * v + (1 - o.betas[1]) * g * g;
    const double m_hat = m / (1 - std::pow(o.betas[0], t)), v_hat = v / (1 - std::pow(o.betas[1], t));
    return w - lr * decay * w - lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

TEST(AdamW, FollowsTheFormulaAndDecaysMatricesOnly) {
  const auto o = options(0.01);
  const std::vector<float> start = {0.5f, -2.0f};
  std::vector<models::Parameter> parameters;
  for (const bool decays : {true, false}) {
    auto value = at::tensor(at::ArrayRef<float>(start)).set_requires_grad(true);
    value.mutable_grad() = at::zeros({2});
    parameters.push_back({decays ? "matrix" : "norm", value, decays});
  }
  AdamW optimizer(o, parameters);
  ScalarAdamW model[2][2];
  double expected[2][2] = {{0.5, -2.0}, {0.5, -2.0}};
  for (int t = 1; t <= 5; ++t) {
    for (int p = 0; p < 2; ++p) {
      for (int i = 0; i < 2; ++i) {
        const double g = std::sin(3.0 * t + i + p);
        parameters[static_cast<size_t>(p)].value.grad().data_ptr<float>()[i] = static_cast<float>(g);
        expected[p][i] = model[p][i].step(t, expected[p][i], g, 0.01 * t, p == 0 ? o.weight_decay : 0, o);
      }
    }
    optimizer.step(t, 0.01 * t);
  }
  for (int p = 0; p < 2; ++p) {
    for (int i = 0; i < 2; ++i) EXPECT_NEAR(parameters[static_cast<size_t>(p)].value.data_ptr<float>()[i], expected[p][i], 2e-6);
  }
}

}  // namespace
}  // namespace thinwire::trainer

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

// PyTorch's documentation of SGD, in double.
struct ScalarSgd {
  double u = 0;
  double step(int, double w, double g, double lr, double decay, const OptimOptions& o) {
    g += decay * w;
    u = o.momentum * u + g;
    return w - lr * (o.nesterov ? g + o.momentum * u : u);
  }
};

// Five steps of two parameters, one of which decays, beside the model of each element.
template <class Scalar>
void expect_formula(const OptimOptions& o) {
  const std::vector<float> start = {0.5f, -2.0f};
  std::vector<models::Parameter> parameters;
  for (const bool decays : {true, false}) {
    auto value = at::tensor(at::ArrayRef<float>(start)).set_requires_grad(true);
    value.mutable_grad() = at::zeros({2});
    parameters.push_back({decays ? "matrix" : "norm", value, decays});
  }
  const auto optimizer = make_optimizer(o, parameters);
  Scalar model[2][2];
  double expected[2][2] = {{0.5, -2.0}, {0.5, -2.0}};
  for (int t = 1; t <= 5; ++t) {
    for (int p = 0; p < 2; ++p) {
      for (int i = 0; i < 2; ++i) {
        const double g = std::sin(3.0 * t + i + p);
        parameters[static_cast<size_t>(p)].value.grad().data_ptr<float>()[i] = static_cast<float>(g);
        expected[p][i] = model[p][i].step(t, expected[p][i], g, 0.01 * t, p == 0 ? o.weight_decay : 0, o);
      }
    }
    optimizer->step(t, 0.01 * t);
  }
  for (int p = 0; p < 2; ++p) {
    for (int i = 0; i < 2; ++i) EXPECT_NEAR(parameters[static_cast<size_t>(p)].value.data_ptr<float>()[i], expected[p][i], 2e-6);
  }
}

TEST(AdamW, FollowsTheFormulaAndDecaysMatricesOnly) { expect_formula<ScalarAdamW>(options(0.01)); }

TEST(Sgd, FollowsTheFormulaWithAndWithoutMomentum) {
  for (const double momentum : {0.0, 0.9}) {
    auto o = options(0.01);
    o.name = "sgd";
    o.momentum = momentum;
    expect_formula<ScalarSgd>(o);
    o.nesterov = true;
    expect_formula<ScalarSgd>(o);
  }
}

TEST(Optimizer, RemembersByNameWhatCheckpointsKeep) {
  const std::vector<models::Parameter> parameters = {{"w", at::ones({2, 3}), true}};
  auto o = options(1);
  EXPECT_EQ(make_optimizer(o, parameters)->memory().size(), 2u);
  EXPECT_EQ(make_optimizer(o, parameters)->memory()[1].name, "exp_avg_sq");
  o.name = "sgd";
  const auto sgd = make_optimizer(o, parameters);
  ASSERT_EQ(sgd->memory().size(), 1u);
  EXPECT_EQ(sgd->memory()[0].name, "momentum_buffer");
  EXPECT_EQ(sgd->memory()[0].of_parameter[0].sizes(), at::IntArrayRef({2, 3}));
  o.momentum = 0;
  EXPECT_TRUE(make_optimizer(o, parameters)->memory().empty());
}

}  // namespace
}  // namespace thinwire::trainer

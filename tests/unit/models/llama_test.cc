#include "models/llama.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "config/load.h"
#include "tests/unit/models/reference_llama.h"

namespace thinwire::models {
namespace {

struct Case {
  const char* name;
  int64_t heads, kv_heads;
  bool tied;
};

ModelOptions small(const Case& c) {
  ModelOptions o;
  o.d_model = 24;
  o.layers = 2;
  o.heads = c.heads;
  o.kv_heads = c.kv_heads;
  o.ffn = 40;
  o.context = 12;
  o.tie_embeddings = c.tied;
  o.init_std = 0.3;  // large, so that every term of the formula shows in the result
  return o;
}
constexpr int64_t kTokens = 19;

reference::Shape shape_of(const ModelOptions& o) {
  return {o.d_model, o.layers, o.heads, *o.kv_heads, *o.ffn, kTokens, o.rope_theta, o.norm_eps, o.tie_embeddings};
}

reference::Weights weights_of(const Model& model) {
  reference::Weights weights;
  for (const auto& p : model.parameters()) {
    const float* data = p.value.data_ptr<float>();
    weights[p.name] = std::vector<double>(data, data + p.value.numel());
  }
  return weights;
}

at::Tensor tensor_of(const std::vector<int64_t>& tokens) { return at::tensor(at::ArrayRef<int64_t>(tokens), at::kLong).view({1, -1}); }

class LlamaShapes : public testing::TestWithParam<Case> {};

TEST_P(LlamaShapes, LogitsEqualTheDefinition) {
  const auto o = small(GetParam());
  const Llama model(o, kTokens, 3);
  const std::vector<int64_t> tokens = {3, 0, 18, 7, 7, 1, 12, 5, 9};
  const auto expected = reference::logits(shape_of(o), weights_of(model), tokens);
  const auto got = model.logits(tensor_of(tokens)).contiguous();
  ASSERT_EQ(got.numel(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(got.data_ptr<float>()[i], expected[i], 2e-5 * (1 + std::abs(expected[i]))) << i;
}

TEST_P(LlamaShapes, GradientsEqualFiniteDifferencesOfTheDefinition) {
  const auto o = small(GetParam());
  const Llama model(o, kTokens, 4);
  const std::vector<int64_t> tokens = {3, 0, 18, 7, 7, 1}, targets = {0, 18, 7, 7, 1, 2};
  model.loss(tensor_of(tokens), tensor_of(targets)).backward();
  auto weights = weights_of(model);
  for (const auto& p : model.parameters()) {
    const auto at = static_cast<size_t>(p.value.numel() * 2 / 3);  // one element of each tensor
    constexpr double kStep = 1e-5;
    double& w = weights[p.name][at];
    const double before = w;
    w = before + kStep;
    const double up = reference::loss(shape_of(o), weights, tokens, targets);
    w = before - kStep;
    const double down = reference::loss(shape_of(o), weights, tokens, targets);
    w = before;
    const double slope = (up - down) / (2 * kStep);
    EXPECT_NEAR(p.value.grad().contiguous().data_ptr<float>()[at], slope, 1e-4 * (1 + std::abs(slope))) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, LlamaShapes,
                         testing::Values(Case{"MultiHeadTied", 4, 4, true}, Case{"GroupedQueriesUntied", 6, 2, false},
                                         Case{"OneKeyHead", 2, 1, true}),
                         [](const auto& variant) { return variant.param.name; });

TEST(Llama, HasHuggingFaceNamesAndShapes) {
  ModelOptions o;
  o.d_model = 64;
  o.layers = 1;
  o.heads = 4;
  o.kv_heads = 2;
  o.ffn = 96;
  o.tie_embeddings = false;
  const Llama model(o, 256, 1);
  const std::vector<std::pair<std::string, std::vector<int64_t>>> expected = {{"model.embed_tokens.weight", {256, 64}},
                                                                              {"model.layers.0.input_layernorm.weight", {64}},
                                                                              {"model.layers.0.self_attn.q_proj.weight", {64, 64}},
                                                                              {"model.layers.0.self_attn.k_proj.weight", {32, 64}},
                                                                              {"model.layers.0.self_attn.v_proj.weight", {32, 64}},
                                                                              {"model.layers.0.self_attn.o_proj.weight", {64, 64}},
                                                                              {"model.layers.0.post_attention_layernorm.weight", {64}},
                                                                              {"model.layers.0.mlp.gate_proj.weight", {96, 64}},
                                                                              {"model.layers.0.mlp.up_proj.weight", {96, 64}},
                                                                              {"model.layers.0.mlp.down_proj.weight", {64, 96}},
                                                                              {"model.norm.weight", {64}},
                                                                              {"lm_head.weight", {256, 64}}};
  ASSERT_EQ(model.parameters().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(model.parameters()[i].name, expected[i].first);
    EXPECT_EQ(model.parameters()[i].value.sizes().vec(), expected[i].second) << expected[i].first;
    EXPECT_EQ(model.parameters()[i].decays, expected[i].second.size() == 2) << "norms do not decay";
  }
}

TEST(Llama, TheDemoModelHasThePublishedNumberOfParameters) { EXPECT_EQ(make_model(ModelOptions(), 256, 1)->num_parameters(), 3'715'936); }

TEST(Llama, InitialWeightsDependOnSeedAndNameAlone) {
  ModelOptions o;
  o.layers = 1;
  const Llama one(o, 256, 5), other_seed(o, 256, 6);
  o.layers = 2;
  const Llama deeper(o, 256, 5);
  const auto value = [](const Llama& m, size_t i) { return m.parameters()[i].value; };
  EXPECT_TRUE(at::equal(value(one, 2), value(deeper, 2)));
  EXPECT_FALSE(at::equal(value(one, 2), value(other_seed, 2)));
  EXPECT_FALSE(at::equal(value(one, 2), value(one, 5))) << "q_proj and o_proj have the same shape, not the same weights";
  const double std_error = 0.02 / std::sqrt(2.0 * static_cast<double>(value(one, 2).numel()));
  EXPECT_NEAR(value(one, 2).std().item<double>(), 0.02, 5 * std_error);
}

TEST(Llama, APositionSeesOnlyThePast) {
  const Llama model(small({"", 4, 2, true}), kTokens, 3);
  const auto a = model.logits(tensor_of({1, 2, 3, 4, 5})), b = model.logits(tensor_of({1, 2, 3, 9, 0}));
  EXPECT_TRUE(at::equal(a.narrow(1, 0, 3), b.narrow(1, 0, 3)));
  EXPECT_FALSE(at::equal(a.narrow(1, 3, 1), b.narrow(1, 3, 1)));
}

TEST(Llama, TheThreePartsMakeTheWhole) {
  const Llama model(small({"", 4, 2, false}), kTokens, 3);
  const auto tokens = tensor_of({1, 2, 3});
  auto hidden = model.embed(tokens);
  for (const auto& block : model.blocks()) hidden = block(hidden, model.rotary());
  EXPECT_TRUE(at::equal(model.head(hidden), model.logits(tokens)));
}

TEST(Projection, AnOperationReplacesTheProduct) {
  struct Negated : ProjectionOp {
    at::Tensor apply(const at::Tensor& x, const at::Tensor& weight) override { return -at::linear(x, weight); }
  };
  Projection p{at::ones({2, 3}), nullptr};
  const auto x = at::ones({1, 3});
  EXPECT_EQ(p(x)[0][0].item<float>(), 3);
  p.op = std::make_shared<Negated>();
  EXPECT_EQ(p(x)[0][0].item<float>(), -3);
}

TEST(ModelOptions, HeadsMustDivideTheWidth) {
  ModelOptions o;
  auto root = config::describe_root(o);
  try {
    config::load(root, {{"m.yaml", "{d_model: 100, heads: 7}"}}, {});
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("d_model 100 does not split into 7 heads"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace thinwire::models

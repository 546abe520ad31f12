#include "models/resnet.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "config/load.h"
#include "tests/unit/models/reference_resnet.h"

namespace thinwire::models {
namespace {

constexpr int64_t kClasses = 7, kHeight = 7, kWidth = 6;

struct ResNetCase {
  const char* name;
  int64_t width, stages, blocks, groups;
};

ModelOptions options(const ResNetCase& c) {
  ModelOptions o;
  o.type = "resnet";
  o.width = c.width;
  o.stages = c.stages;
  o.blocks = c.blocks;
  o.groups = c.groups;
  return o;
}

reference::ResNetShape resnet_shape_of(const ModelOptions& o) { return {o.width, o.stages, o.blocks, o.groups, o.norm_eps}; }

using Values = std::map<std::string, std::vector<double>>;

Values values_of(const Model& model) {
  Values values;
  for (const auto& p : model.parameters()) {
    const float* data = p.value.data_ptr<float>();
    values[p.name] = std::vector<double>(data, data + p.value.numel());
  }
  return values;
}

// Norms and biases away from 1 and 0, so that every term of the formula shows in the result.
ResNet shaken(const ModelOptions& o, uint64_t seed) {
  ResNet model(o, kClasses, seed);
  for (const auto& p : model.parameters()) {
    if (p.value.dim() > 1) continue;
    float* data = p.value.data_ptr<float>();
    for (int64_t i = 0; i < p.value.numel(); ++i) data[i] += static_cast<float>(0.4 * std::sin(static_cast<double>(3 * i + p.name.size())));
  }
  return model;
}

std::vector<double> image(double phase) {
  std::vector<double> pixels;
  for (int i = 0; i < kHeight * kWidth; ++i) pixels.push_back(static_cast<float>(std::sin(0.7 * i + phase) + std::cos(phase * i)));
  return pixels;
}

at::Tensor tensor_of(const std::vector<std::vector<double>>& images) {
  auto tensor = at::empty({static_cast<int64_t>(images.size()), 1, kHeight, kWidth}, at::kFloat);
  float* data = tensor.data_ptr<float>();
  for (const auto& pixels : images) data = std::copy(pixels.begin(), pixels.end(), data);
  return tensor;
}

double reference_loss(const ModelOptions& o, const Values& values, const std::vector<double>& pixels, size_t label) {
  const auto scores = reference::resnet_logits(resnet_shape_of(o), values, pixels, kHeight, kWidth);
  double total = 0;
  for (const double score : scores) total += std::exp(score);
  return std::log(total) - scores[label];
}

class ResNetShapes : public testing::TestWithParam<ResNetCase> {};

TEST_P(ResNetShapes, LogitsEqualTheDefinition) {
  const auto o = options(GetParam());
  const ResNet model = shaken(o, 3);
  const std::vector<std::vector<double>> images = {image(0.3), image(1.1), image(2.5)};
  const auto got = model.logits(tensor_of(images));
  ASSERT_EQ(got.sizes().vec(), (std::vector<int64_t>{3, kClasses}));
  for (size_t b = 0; b < images.size(); ++b) {
    const auto expected = reference::resnet_logits(resnet_shape_of(o), values_of(model), images[b], kHeight, kWidth);
    for (int64_t c = 0; c < kClasses; ++c) {
      ASSERT_NEAR(got[static_cast<int64_t>(b)][c].item<double>(), expected[static_cast<size_t>(c)], 5e-5) << b << ' ' << c;
    }
  }
}

TEST_P(ResNetShapes, GradientsEqualFiniteDifferencesOfTheDefinition) {
  const auto o = options(GetParam());
  const ResNet model = shaken(o, 4);
  model.loss(tensor_of({image(0.3)}), at::tensor({2}, at::kLong)).backward();
  auto values = values_of(model);
  for (const auto& p : model.parameters()) {
    const auto at = static_cast<size_t>(p.value.numel() * 2 / 3);  // one element of each tensor
    constexpr double kStep = 1e-6;
    double& w = values[p.name][at];
    const double before = w;
    w = before + kStep;
    const double up = reference_loss(o, values, image(0.3), 2);
    w = before - kStep;
    const double down = reference_loss(o, values, image(0.3), 2);
    w = before;
    const double slope = (up - down) / (2 * kStep);
    EXPECT_NEAR(p.value.grad().contiguous().data_ptr<float>()[at], slope, 2e-4 * (1 + std::abs(slope))) << p.name;
  }
}

TEST_P(ResNetShapes, HasAsManyParametersAsTheFormulaSays) {
  const auto o = options(GetParam());
  EXPECT_EQ(make_model(o, kClasses, 1)->num_parameters(), reference::resnet_parameters(resnet_shape_of(o), kClasses));
}

INSTANTIATE_TEST_SUITE_P(Variants, ResNetShapes,
                         testing::Values(ResNetCase{"OneStage", 4, 1, 2, 2}, ResNetCase{"ThreeStagesGrouped", 4, 3, 1, 2},
                                         ResNetCase{"LayerNormAndDepth", 2, 2, 2, 1}, ResNetCase{"InstanceNorm", 3, 2, 1, 3}),
                         [](const auto& variant) { return variant.param.name; });

TEST(ResNet, HasTorchvisionsNamesAndShapes) {
  const ResNet model(options({"", 4, 2, 1, 2}), 10, 1);
  const std::vector<std::pair<std::string, std::vector<int64_t>>> expected = {{"conv1.weight", {4, 1, 3, 3}},
                                                                              {"gn1.weight", {4}},
                                                                              {"gn1.bias", {4}},
                                                                              {"layer1.0.conv1.weight", {4, 4, 3, 3}},
                                                                              {"layer1.0.gn1.weight", {4}},
                                                                              {"layer1.0.gn1.bias", {4}},
                                                                              {"layer1.0.conv2.weight", {4, 4, 3, 3}},
                                                                              {"layer1.0.gn2.weight", {4}},
                                                                              {"layer1.0.gn2.bias", {4}},
                                                                              {"layer2.0.conv1.weight", {8, 4, 3, 3}},
                                                                              {"layer2.0.gn1.weight", {8}},
                                                                              {"layer2.0.gn1.bias", {8}},
                                                                              {"layer2.0.conv2.weight", {8, 8, 3, 3}},
                                                                              {"layer2.0.gn2.weight", {8}},
                                                                              {"layer2.0.gn2.bias", {8}},
                                                                              {"layer2.0.downsample.0.weight", {8, 4, 1, 1}},
                                                                              {"layer2.0.downsample.1.weight", {8}},
                                                                              {"layer2.0.downsample.1.bias", {8}},
                                                                              {"fc.weight", {10, 8}},
                                                                              {"fc.bias", {10}}};
  ASSERT_EQ(model.parameters().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(model.parameters()[i].name, expected[i].first);
    EXPECT_EQ(model.parameters()[i].value.sizes().vec(), expected[i].second) << expected[i].first;
    EXPECT_EQ(model.parameters()[i].decays, expected[i].second.size() > 1) << "norms and biases do not decay";
  }
}

TEST(ResNet, InitialConvolutionsHaveKaimingsVarianceByNameAndSeed) {
  const auto value = [](uint64_t seed, const std::string& name) {
    const ResNet model(options({"", 16, 2, 1, 8}), 10, seed);
    for (const auto& p : model.parameters()) {
      if (p.name == name) return p.value;
    }
    return at::Tensor();
  };
  const auto first = value(5, "layer1.0.conv1.weight");
  EXPECT_TRUE(at::equal(first, value(5, "layer1.0.conv1.weight")));
  EXPECT_FALSE(at::equal(first, value(6, "layer1.0.conv1.weight")));
  EXPECT_FALSE(at::equal(first, value(5, "layer1.0.conv2.weight")));
  const double expected = std::sqrt(2.0 / (16 * 9));
  EXPECT_NEAR(first.std().item<double>(), expected, 5 * expected / std::sqrt(2.0 * static_cast<double>(first.numel())));
}

TEST(ResNet, AnImageIsSeenAloneAsInABatch) {
  const ResNet model = shaken(options({"", 4, 3, 1, 2}), 3);
  const auto together = model.logits(tensor_of({image(0.3), image(1.1)}));
  EXPECT_TRUE(at::allclose(model.logits(tensor_of({image(1.1)}))[0], together[1], 1e-5, 1e-6));
}

TEST(ModelOptions, GroupsMustDivideTheWidth) {
  ModelOptions o;
  auto root = config::describe_root(o);
  try {
    config::load(root, {{"m.yaml", "{type: resnet, width: 20, groups: 8}"}}, {});
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("width 20 is not a multiple of groups 8"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace thinwire::models

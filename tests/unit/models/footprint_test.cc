// Counts by shape, held against LibTorch's own bookkeeping of a real pass.
#include "models/footprint.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace thinwire::models {
namespace {

// Bytes that LibTorch's host allocator has given this thread and not got back.
class Meter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    live_ += static_cast<double>(bytes);
    peak_ = std::max(peak_, live_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  double live() const { return live_; }
  double peak() const { return peak_; }

 private:
  double live_ = 0, peak_ = 0;
};

struct Taken {
  double kept_and_gradient_of_scores = 0, peak = 0;
};

// The second pass, once gradients are there.
Taken taken_by(const Model& model, const at::Tensor& inputs, const at::Tensor& targets) {
  for (const auto& parameter : model.parameters()) parameter.value.mutable_grad() = at::zeros_like(parameter.value);
  model.loss(inputs, targets).backward();
  const auto meter = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  auto loss = model.loss(inputs, targets);
  const double kept = meter->live();
  loss.backward();
  return {kept, meter->peak()};
}

void expect_footprint(const ModelOptions& options, const PassShape& shape, double kept_tolerance, double peak_tolerance) {
  const auto model = make_model(options, shape.num_classes, 1);
  const at::Tensor inputs =
      options.sees_images() ? at::ones({shape.samples, 1, shape.side, shape.side}) : at::zeros({shape.samples, options.context}, at::kLong);
  const at::Tensor targets = options.sees_images() ? at::zeros({shape.samples}, at::kLong) : inputs;
  const Taken taken = taken_by(*model, inputs, targets);
  const PassFootprint footprint = pass_footprint(options, shape);
  EXPECT_NEAR(footprint.kept + footprint.scores / 2, taken.kept_and_gradient_of_scores, kept_tolerance * taken.kept_and_gradient_of_scores);
  EXPECT_NEAR(footprint.kept + footprint.scores + footprint.work, taken.peak, peak_tolerance * taken.peak);
}

TEST(PassFootprint, OfALlamaIsWhatAPassKeeps) {
  ModelOptions options;
  options.d_model = 64;
  options.layers = 3;
  options.heads = 4;
  options.context = 128;
  expect_footprint(options, {.samples = 4, .num_classes = 256}, 0.03, 0.1);
  options.kv_heads = 2;
  options.tie_embeddings = false;
  expect_footprint(options, {.samples = 2, .num_classes = 1000}, 0.03, 0.1);
  options.layers = 1;
  expect_footprint(options, {.samples = 1, .num_classes = 20000}, 0.03, 0.1);
}

TEST(PassFootprint, OfAResNetIsWhatAPassKeeps) {
  ModelOptions options;
  options.type = "resnet";
  expect_footprint(options, {.samples = 32, .num_classes = 10}, 0.05, 0.15);
  options.blocks = 2;
  options.width = 32;
  expect_footprint(options, {.samples = 8, .num_classes = 10}, 0.05, 0.15);
}

TEST(Outline, HasTheNamesAndShapesOfTheModel) {
  for (const char* type : {"llama", "resnet"}) {
    ModelOptions options;
    options.type = type;
    options.tie_embeddings = false;
    const auto model = make_model(options, 20, 1), outline = make_outline(options, 20);
    ASSERT_EQ(model->parameters().size(), outline->parameters().size());
    for (size_t i = 0; i < model->parameters().size(); ++i) {
      const auto &real = model->parameters()[i], &drawn = outline->parameters()[i];
      EXPECT_EQ(real.name, drawn.name);
      EXPECT_EQ(real.value.sizes(), drawn.value.sizes()) << real.name;
      EXPECT_EQ(real.decays, drawn.decays) << real.name;
      EXPECT_TRUE(drawn.value.is_meta());
    }
  }
}

TEST(Outline, OfAModelThatNoMachineHoldsTakesNoMemory) {
  ModelOptions options;
  options.d_model = 65536;
  options.heads = 512;
  options.layers = 1024;
  options.context = 1 << 20;
  const auto meter = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  EXPECT_GT(make_outline(options, 1 << 20)->num_parameters(), int64_t{1} << 43);
  EXPECT_LT(meter->peak(), 1e6);
}

// 6 N flops a token of N parameters in products (Kaplan et al., arXiv 2001.08361, section 2.1), where attention is small.
TEST(PassFlops, AreSixAParameterAndToken) {
  ModelOptions options;
  options.d_model = 512;
  options.heads = 8;
  options.layers = 2;
  options.context = 16;
  const double parameters = static_cast<double>(make_outline(options, 256)->num_parameters());
  EXPECT_NEAR(pass_flops(options, {.samples = 3, .num_classes = 256}), 6 * parameters * 3 * 16, 0.02 * 6 * parameters * 48);
}

}  // namespace
}  // namespace thinwire::models

// The fused functions and their gradients against LibTorch's own operations in double, and against finite differences of those.
#include "models/fused/functions.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <numbers>

#include "models/autocast.h"
#include "models/cuda.h"
#include "models/fused/attention.h"
#include "models/llama.h"
#include "tests/unit/models/eager_llama.h"

namespace thinwire::models {
namespace {

using Tensors = std::vector<at::Tensor>;
using Compute = std::function<at::Tensor(const Tensors&)>;

// Normal numbers that depend on the seed alone.
at::Tensor normals(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::kFloat);
}

struct Subject {
  const char* name;
  std::vector<std::vector<int64_t>> shapes;  // of the inputs that have a gradient
  Compute fused, eager;                      // eager: in whatever type the inputs have
};

void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }

const at::Tensor& targets() {
  static const at::Tensor kTargets = at::tensor({3, 0, 18, 7, 18}, at::kLong);
  return kTargets;
}

std::vector<Subject> subjects() {
  static const Rotary kRotary(9, 6, 10000);
  const auto stacked = [](const fused::Stream& s) { return at::stack({s.value, s.normed}); };
  return {
      {"rms_norm",
       {{3, 5, 37}, {37}},
       [](const Tensors& in) { return fused::rms_norm(in[0], in[1], 1e-5); },
       [](const Tensors& in) { return eager_rms_norm(in[0], in[1], 1e-5); }},
      {"with_norm",
       {{150, 37}, {37}},
       [=](const Tensors& in) { return stacked(fused::with_norm(in[0], in[1], 1e-5)); },
       [](const Tensors& in) {
         return at::stack({in[0], eager_rms_norm(in[0], in[1], 1e-5)});
       }},
      {"sum_with_norm",
       {{2, 70, 24}, {2, 70, 24}, {24}},
       [=](const Tensors& in) { return stacked(fused::sum_with_norm(in[0], in[1], in[2], 1e-5)); },
       [](const Tensors& in) {
         const auto h = in[0] + in[1];
         return at::stack({h, eager_rms_norm(h, in[2], 1e-5)});
       }},
      {"swiglu",
       {{3, 41}, {3, 41}},
       [](const Tensors& in) { return fused::swiglu(in[0], in[1]); },
       [](const Tensors& in) { return eager_swiglu(in[0], in[1]); }},
      {"rotate",
       {{2, 9, 3, 6}},
       [](const Tensors& in) { return fused::rotate(in[0], kRotary.cos.to(in[0].device()), kRotary.sin.to(in[0].device())); },
       [](const Tensors& in) { return eager_rotate(in[0], kRotary.cos, kRotary.sin); }},
      {"cross_entropy",
       {{5, 19}},
       [](const Tensors& in) { return fused::cross_entropy(in[0], targets().to(in[0].device())); },
       [](const Tensors& in) { return eager_cross_entropy(in[0], targets()); }},
      {"attention",
       {{2, 37, 3, 20}, {2, 37, 3, 20}, {2, 37, 3, 20}},
       [](const Tensors& in) { return fused::causal_attention(in[0], in[1], in[2]); },
       [](const Tensors& in) { return eager_attention(in[0], in[1], in[2]); }},
      {"grouped attention",
       {{2, 19, 6, 8}, {2, 19, 2, 8}, {2, 19, 2, 8}},
       [](const Tensors& in) { return fused::causal_attention(in[0], in[1], in[2]); },
       [](const Tensors& in) { return eager_attention(in[0], in[1], in[2]); }},
      {"long attention",
       {{1, 300, 1, 33}, {1, 300, 1, 33}, {1, 300, 1, 33}},
       [](const Tensors& in) { return fused::causal_attention(in[0], in[1], in[2]); },
       [](const Tensors& in) { return eager_attention(in[0], in[1], in[2]); }},
  };
}

Tensors inputs_of(const Subject& subject, at::ScalarType type, at::Device device = at::kCPU) {
  Tensors inputs;
  for (const auto& shape : subject.shapes) inputs.push_back(normals(shape, 11 + inputs.size()).to(device, type).requires_grad_(true));
  return inputs;
}

// The result, and the gradients of its sum weighted by random numbers.
Tensors results(const Compute& compute, const Tensors& inputs) {
  const auto out = compute(inputs);
  const auto weights = normals(out.sizes(), 5).to(out.device(), out.scalar_type());
  Tensors all = {out.detach()};
  for (const auto& gradient : torch::autograd::grad({(out * weights).sum()}, inputs)) all.push_back(gradient);
  return all;
}

class Fused : public testing::TestWithParam<Subject> {};

TEST_P(Fused, ValueAndGradientsAreThoseOfTheCompositionInDouble) {
  const auto& subject = GetParam();
  const auto got = results(subject.fused, inputs_of(subject, at::kFloat)),
             expected = results(subject.eager, inputs_of(subject, at::kDouble));
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = (got[i].to(at::kDouble) - expected[i]).abs().max().item<double>();
    EXPECT_LE(error, 2e-6 * (1 + expected[i].abs().max().item<double>())) << (i == 0 ? "value" : "gradient ") << i;
  }
}

// On a GPU: our kernels, or LibTorch's operations where there are none.
TEST_P(Fused, OnAGpuValueAndGradientsAreThoseOfTheCompositionInDouble) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  const auto& subject = GetParam();
  const auto got = results(subject.fused, inputs_of(subject, at::kFloat, at::kCUDA)),
             expected = results(subject.eager, inputs_of(subject, at::kDouble));
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = (got[i].cpu().to(at::kDouble) - expected[i]).abs().max().item<double>();
    EXPECT_LE(error, 4e-6 * (1 + expected[i].abs().max().item<double>())) << (i == 0 ? "value" : "gradient ") << i;
  }
}

// Whatever is rounded to bf16 is so a few times: by 2^-9 of itself each, and what is added up by as much of its largest part.
TEST_P(Fused, OnAGpuUnderAutocastTheyAreThoseOfTheCompositionToTheRoundingOfBf16) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  const auto& subject = GetParam();
  const auto expected = results(subject.eager, inputs_of(subject, at::kDouble));
  const Autocast autocast(at::kCUDA);
  const auto got = results(subject.fused, inputs_of(subject, at::kFloat, at::kCUDA));
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = (got[i].cpu().to(at::kDouble) - expected[i]).abs().max().item<double>();
    EXPECT_LE(error, 0x1p-6 * (1 + expected[i].abs().max().item<double>())) << (i == 0 ? "value" : "gradient ") << i;
  }
}

TEST_P(Fused, OnAGpuTheSameBitsWhateverTheAlignmentAndTheStrides) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  const auto& subject = GetParam();
  if (subject.shapes[0].size() == 4 && subject.shapes.size() == 3) GTEST_SKIP() << "attention is LibTorch's own there";
  const auto expected = results(subject.fused, inputs_of(subject, at::kFloat, at::kCUDA));
  Tensors moved, strided;
  for (const auto& input : inputs_of(subject, at::kFloat, at::kCUDA)) {
    const auto one_off = at::empty({input.numel() + 1}, input.options().requires_grad(false)).narrow(0, 1, input.numel());
    moved.push_back(one_off.view(input.sizes()).copy_(input.detach()).requires_grad_(true));
    strided.push_back(at::stack({input.detach(), input.detach()}, -1).select(-1, 0).requires_grad_(true));
  }
  const auto one_float_off = results(subject.fused, moved), with_gaps = results(subject.fused, strided);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(at::equal(one_float_off[i], expected[i])) << "one float off, output " << i;
    EXPECT_TRUE(at::equal(with_gaps[i], expected[i])) << "with gaps, output " << i;
  }
}

// Along a random direction, in double: (f(x + h u) - f(x - h u)) / 2h against the fused gradient times u.
TEST_P(Fused, GradientsAreFiniteDifferences) {
  const auto& subject = GetParam();
  const auto gradients = results(subject.fused, inputs_of(subject, at::kFloat));
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < subject.shapes.size(); ++i) {
    const auto direction = normals(subject.shapes[i], 77).to(at::kDouble);
    const auto at_offset = [&](double offset) {
      const c10::AutoGradMode no_grad(false);
      auto inputs = inputs_of(subject, at::kDouble);
      inputs[i] = inputs[i].detach() + offset * direction;
      const auto out = subject.eager(inputs);
      return (out * normals(out.sizes(), 5).to(at::kDouble)).sum().item<double>();
    };
    const double slope = (at_offset(kStep) - at_offset(-kStep)) / (2 * kStep);
    const auto terms = gradients[i + 1].to(at::kDouble) * direction;
    EXPECT_NEAR(terms.sum().item<double>(), slope, 1e-5 * (1 + terms.abs().sum().item<double>())) << "input " << i;
  }
}

TEST_P(Fused, TheSameBitsWhateverTheAlignmentTheStridesAndTheThreads) {
  const auto& subject = GetParam();
  const auto expected = results(subject.fused, inputs_of(subject, at::kFloat));
  const auto expect_same = [&](const Tensors& got, const char* what) {
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], expected[i])) << what << ", output " << i;
  };
  Tensors moved, strided;
  for (const auto& input : inputs_of(subject, at::kFloat)) {
    moved.push_back(
        at::empty({input.numel() + 1}).narrow(0, 1, input.numel()).view(input.sizes()).copy_(input.detach()).requires_grad_(true));
    strided.push_back(at::stack({input.detach(), input.detach()}, -1).select(-1, 0).requires_grad_(true));
  }
  expect_same(results(subject.fused, moved), "one float off");
  expect_same(results(subject.fused, strided), "with gaps");
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  expect_same(results(subject.fused, inputs_of(subject, at::kFloat)), "three threads");
  at::set_num_threads(before);
}

TEST_P(Fused, ASecondDerivativeIsRefused) {
  const auto& subject = GetParam();
  const auto inputs = inputs_of(subject, at::kFloat);
  try {
    torch::autograd::grad({subject.fused(inputs).sum()}, inputs, {}, /*retain_graph=*/true, /*create_graph=*/true);
    FAIL() << "a second derivative would have been wrong";
  } catch (const std::exception& e) {
    EXPECT_NE(std::string(e.what()).find("has no second derivative"), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, Fused, testing::ValuesIn(subjects()), [](const auto& subject) {
  std::string name = subject.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

TEST(FusedCrossEntropy, OfEqualScoresIsTheLogarithmOfTheClasses) {
  const auto loss = fused::cross_entropy(at::full({2, 50}, 3.0f), at::tensor({0, 49}, at::kLong));
  EXPECT_FLOAT_EQ(loss.item<float>(), std::log(50.0f));
  EXPECT_FALSE(loss.requires_grad());
}

TEST(FusedCrossEntropy, ATargetThatIsNoClassIsAnError) {
  for (const int64_t target : {-1, 50}) {
    EXPECT_THROW(fused::cross_entropy(at::zeros({1, 50}), at::tensor({target}, at::kLong)), std::out_of_range) << target;
  }
}

TEST(FusedAttention, ATokenAloneIsItsValue) {
  const auto v = normals({2, 1, 3, 8}, 3);
  EXPECT_TRUE(at::equal(fused::causal_attention(normals({2, 1, 3, 8}, 1), normals({2, 1, 3, 8}, 2), v), v));
}

TEST(FusedLlama, LossAndGradientsAreThoseOfTheEagerModel) {
  ModelOptions o;
  o.d_model = 48;
  o.layers = 3;
  o.heads = 6;
  o.kv_heads = 3;
  o.context = 40;
  const Llama llama(o, 61, 9);
  auto generator = at::detail::createCPUGenerator(3);
  const auto tokens = at::randint(0, 61, {2, 41}, generator, at::kLong);
  const auto inputs = tokens.narrow(1, 0, 40), labels = tokens.narrow(1, 1, 40).contiguous();
  Tensors values;
  for (const auto& p : llama.parameters()) values.push_back(p.value);
  const auto loss = llama.loss(inputs, labels), eager = EagerLlama(llama).loss(inputs, labels);
  EXPECT_NEAR(loss.item<double>(), eager.item<double>(), 2e-6 * eager.item<double>());
  const auto got = torch::autograd::grad({loss}, values), expected = torch::autograd::grad({eager}, values);
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = (got[i] - expected[i]).norm().item<double>();
    EXPECT_LE(error, 5e-6 * expected[i].norm().item<double>()) << llama.parameters()[i].name;
  }
}

}  // namespace
}  // namespace thinwire::models

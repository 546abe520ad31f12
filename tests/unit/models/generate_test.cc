#include "models/generate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "models/autocast.h"
#include "models/kv_cache.h"
#include "models/llama.h"
#include "models/resnet.h"

namespace thinwire::models {
namespace {

constexpr int64_t kVocab = 19;

ModelOptions small(int64_t heads, int64_t kv_heads) {
  ModelOptions o;
  o.d_model = 24;
  o.layers = 2;
  o.heads = heads;
  o.kv_heads = kv_heads;
  o.ffn = 40;
  o.context = 12;
  o.init_std = 0.3;
  return o;
}

at::Tensor row(const std::vector<int64_t>& tokens) { return at::tensor(at::ArrayRef<int64_t>(tokens), at::kLong).view({1, -1}); }

class KvCacheOfHeads : public testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(KvCacheOfHeads, GivesTheScoresOfTheWholeSequence) {
  const c10::AutoGradMode no_grad(false);
  const Llama model(small(GetParam().first, GetParam().second), kVocab, 3);
  const std::vector<int64_t> tokens = {3, 0, 18, 7, 7, 1, 12, 5, 9, 2, 4, 11};
  const auto whole = model.logits(row(tokens));
  for (const size_t prompt : {size_t{1}, size_t{4}, tokens.size()}) {
    KvCache past;
    std::vector<int64_t> next(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(prompt));
    for (size_t end = prompt; end <= tokens.size(); ++end) {
      const auto scores = model.next_logits(row(next), past);
      const auto expected = whole.select(1, static_cast<int64_t>(end) - 1).squeeze(0);
      EXPECT_TRUE(at::allclose(scores, expected, 1e-5, 1e-5)) << prompt << ' ' << end;
      if (end < tokens.size()) next = {tokens[end]};
    }
    EXPECT_EQ(past.length, std::ssize(tokens));
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, KvCacheOfHeads, testing::Values(std::pair(4, 4), std::pair(6, 2), std::pair(2, 1)));

TEST(KvCache, RefusesMoreThanTheContextAndTwoTokensBehindOthers) {
  const c10::AutoGradMode no_grad(false);
  const Llama model(small(4, 2), kVocab, 3);
  KvCache past;
  EXPECT_THROW(model.next_logits(row(std::vector<int64_t>(13, 1)), past), BrokenInvariant);
  model.next_logits(row({1, 2}), past);
  EXPECT_THROW(model.next_logits(row({3, 4}), past), BrokenInvariant);
}

TEST(KvCache, AModelOfImagesContinuesNothing) {
  KvCache past;
  EXPECT_THROW(ResNet(ModelOptions(), 10, 1).next_logits(row({1}), past), BrokenInvariant);
}

TEST(KvCache, WorksUnderAutocast) {
  const c10::AutoGradMode no_grad(false);
  const auto model = in_bf16(std::make_unique<Llama>(small(4, 2), kVocab, 3));
  const std::vector<int64_t> tokens = {3, 0, 18, 7};
  const auto whole = model->logits(row(tokens)).select(1, 3).squeeze(0);
  KvCache past;
  model->next_logits(row({3, 0, 18}), past);
  const auto scores = model->next_logits(row({7}), past);
  EXPECT_EQ(scores.scalar_type(), at::kFloat);
  EXPECT_LT((scores - whole).abs().max().item<double>(), 0.1 * whole.abs().max().item<double>());  // bf16 has 8 bits
}

std::vector<int64_t> continued(const Model& model, std::vector<int64_t> prompt, GenerateOptions options) {
  std::vector<int64_t> tokens;
  generate(model, 12, std::move(prompt), options, Draw(7), [&](int64_t token) { tokens.push_back(token); });
  return tokens;
}

TEST(Generate, TheCacheChangesNoToken) {
  const Llama model(small(6, 2), kVocab, 3);
  for (const double temperature : {0.0, 1.0}) {
    for (const std::vector<int64_t>& prompt : {std::vector<int64_t>{3}, {3, 0, 18, 7, 7}, std::vector<int64_t>(30, 4)}) {
      GenerateOptions options{{.temperature = temperature}, 60, {}};  // the window moves on several times
      const auto cached = continued(model, prompt, options);
      options.past = GenerateOptions::Past::recomputed;
      EXPECT_EQ(cached, continued(model, prompt, options));
      EXPECT_EQ(cached.size(), 60u);
    }
  }
}

TEST(Generate, GreedyIsTheLikeliestTokenOfTheModelEachTime) {
  const c10::AutoGradMode no_grad(false);
  const Llama model(small(4, 4), kVocab, 5);
  std::vector<int64_t> tokens = {2, 9};
  const auto got = continued(model, tokens, {{.temperature = 0}, 10, {}});  // 12 in all: the context
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], model.logits(row(tokens)).select(1, std::ssize(tokens) - 1).argmax().item<int64_t>()) << i;
    tokens.push_back(got[i]);
  }
}

TEST(Generate, StopsAtTheEndTokenWithoutHandingItOn) {
  const Llama model(small(4, 4), kVocab, 5);
  const auto all = continued(model, {2}, {{.temperature = 1}, 50, {}});
  const int64_t end = all[20];
  const auto first = std::find(all.begin(), all.end(), end) - all.begin();
  EXPECT_EQ(continued(model, {2}, {{.temperature = 1}, 50, end}), std::vector<int64_t>(all.begin(), all.begin() + first));
}

TEST(Generate, TheSameSeedGivesTheSameTokens) {
  const Llama model(small(4, 4), kVocab, 5);
  EXPECT_EQ(continued(model, {2}, {{.temperature = 1}, 50, {}}), continued(model, {2}, {{.temperature = 1}, 50, {}}));
}

}  // namespace
}  // namespace thinwire::models

#include "trainer/text_task.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numbers>

#include "base/check.h"

namespace thinwire::trainer {

namespace {
constexpr int64_t kSampleTokens = 240;

TaskFacts facts_of(const data::Corpus& corpus, const data::Tokenizer& tokenizer, int64_t context) {
  TaskFacts facts;
  facts.description = corpus.description;
  facts.synthetic = corpus.synthetic;
  facts.hash = corpus.hash;
  facts.num_classes = tokenizer.vocab_size();
  facts.sample_tokens = context;
  facts.input = "context " + std::to_string(context);
  facts.samples = "sequences";
  facts.units = "tokens";
  facts.rate = "tok/s";
  return facts;
}
}  // namespace

TextTask::TextTask(data::Corpus corpus, std::unique_ptr<data::Tokenizer> tokenizer, int64_t context, uint64_t seed)
    : Task(facts_of(corpus, *tokenizer, context)),
      corpus_(std::move(corpus)),
      tokenizer_(std::move(tokenizer)),
      sampler_(seed, static_cast<int64_t>(corpus_.train.size()), context),
      context_(context),
      seed_(seed) {}

Batch TextTask::train_batch(int64_t first, int64_t count) const {
  std::vector<int64_t> starts;
  for (int64_t i = first; i < first + count; ++i) starts.push_back(sampler_.start(i));
  return make_windows(corpus_.train, starts, context_);
}

Batch TextTask::validation_batch(int64_t first, int64_t count, int64_t total) const {
  const int64_t last_start = static_cast<int64_t>(corpus_.validation.size()) - context_ - 1;
  std::vector<int64_t> starts;
  for (int64_t i = first; i < first + count; ++i) starts.push_back(spread(last_start, i, total));
  return make_windows(corpus_.validation, starts, context_);
}

Scores TextTask::score(const models::Model& model, const Batch& batch) const {
  return {model.loss(batch.inputs, batch.targets).item<double>(), 0};
}

Metric TextTask::metric(const Scores& mean) const { return {"val_bpb", mean.loss / std::numbers::ln2}; }  // a byte token is one byte

std::optional<std::string> TextTask::sample(const models::Model& model) const {
  return generate(model, context_, *tokenizer_, "The ", kSampleTokens, {}, Draw(seed_).fork("sample"));
}

Batch make_windows(std::span<const uint8_t> split, std::span<const int64_t> starts, int64_t context) {
  const auto rows = static_cast<int64_t>(starts.size());
  Batch batch{at::empty({rows, context}, at::kLong), at::empty({rows, context}, at::kLong)};
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t start = starts[static_cast<size_t>(row)];
    check(start >= 0 && start + context < static_cast<int64_t>(split.size()), "a window and its targets lie within the split");
    const auto first = split.begin() + start;
    std::copy(first, first + context, batch.inputs.data_ptr<int64_t>() + row * context);
    std::copy(first + 1, first + context + 1, batch.targets.data_ptr<int64_t>() + row * context);
  }
  return batch;
}

std::string generate(const models::Model& model, int64_t context, const data::Tokenizer& tokenizer, const std::string& prompt,
                     int64_t num_tokens, const SamplingOptions& options, const Draw& draw) {
  const c10::AutoGradMode no_grad(false);
  std::vector<int32_t> tokens = tokenizer.encode(prompt);
  for (int64_t i = 0; i < num_tokens; ++i) {
    const int64_t length = std::min<int64_t>(static_cast<int64_t>(tokens.size()), context);
    auto window = at::empty({1, length}, at::kLong);
    std::copy(tokens.end() - length, tokens.end(), window.data_ptr<int64_t>());
    const auto scores = model.logits(window).select(1, length - 1).squeeze(0).cpu() / options.temperature;
    const auto [best, ids] = scores.topk(std::min<int64_t>(options.top_k, scores.size(0)));
    const auto probabilities = best.softmax(0);
    double left = draw.uniform(static_cast<uint64_t>(i));
    int64_t pick = 0;
    for (; pick + 1 < probabilities.size(0) && left >= probabilities[pick].item<double>(); ++pick)
      left -= probabilities[pick].item<double>();
    tokens.push_back(static_cast<int32_t>(ids[pick].item<int64_t>()));
  }
  return tokenizer.decode(tokens);
}

}  // namespace thinwire::trainer

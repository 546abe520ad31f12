#include "trainer/text_task.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "base/check.h"
#include "models/generate.h"

namespace thinwire::trainer {

namespace {
constexpr int64_t kSampleTokens = 240;
constexpr const char* kSamplePrompt = "The ";

TaskFacts facts_of(const data::Corpus& corpus, int64_t vocab_size, int64_t context) {
  TaskFacts facts;
  facts.description = corpus.description;
  facts.synthetic = corpus.synthetic;
  facts.hash = corpus.hash;
  facts.num_classes = vocab_size;
  facts.sample_tokens = context;
  facts.input = "context " + std::to_string(context);
  facts.samples = "sequences";
  facts.units = "tokens";
  facts.rate = "tok/s";
  facts.tokenizer = corpus.tokenizer;
  return facts;
}
}  // namespace

TextTask::TextTask(data::Corpus corpus, int64_t vocab_size, int64_t context, uint64_t seed)
    : Task(facts_of(corpus, vocab_size, context)),
      corpus_(std::move(corpus)),
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
  const std::span targets(batch.targets.const_data_ptr<int64_t>(), static_cast<size_t>(batch.targets.numel()));
  return {model.loss(batch.inputs, batch.targets).item<double>(), 0, corpus_.tokenizer ? bytes_per_token(*corpus_.tokenizer, targets) : 0};
}

Metric TextTask::metric(const Scores& mean) const {
  if (!corpus_.tokenizer) return {"val_perplexity", std::exp(mean.loss)};
  return {"val_bpb", mean.loss / std::numbers::ln2 / mean.target_bytes};
}

std::optional<std::string> TextTask::sample(const models::Model& model) const {
  if (!corpus_.tokenizer) return std::nullopt;
  std::vector<int32_t> tokens = corpus_.tokenizer->encode(kSamplePrompt);
  if (const auto begin = corpus_.tokenizer->begin_of_text()) tokens.insert(tokens.begin(), *begin);
  models::GenerateOptions options{{.temperature = 0.5, .top_k = 40}, kSampleTokens, corpus_.tokenizer->end_of_text()};
  models::generate(model, context_, {tokens.begin(), tokens.end()}, options, Draw(seed_).fork("sample"),
                   [&](int64_t token) { tokens.push_back(static_cast<int32_t>(token)); });
  return corpus_.tokenizer->decode(tokens);
}

Batch make_windows(const data::Tokens& split, std::span<const int64_t> starts, int64_t context) {
  const auto rows = static_cast<int64_t>(starts.size());
  Batch batch{at::empty({rows, context}, at::kLong), at::empty({rows, context}, at::kLong)};
  std::vector<int64_t> window(static_cast<size_t>(context) + 1);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t start = starts[static_cast<size_t>(row)];
    check(start >= 0 && start + context < static_cast<int64_t>(split.size()), "a window and its targets lie within the split");
    split.copy(static_cast<size_t>(start), window.size(), window.data());
    std::copy(window.begin(), window.end() - 1, batch.inputs.data_ptr<int64_t>() + row * context);
    std::copy(window.begin() + 1, window.end(), batch.targets.data_ptr<int64_t>() + row * context);
  }
  return batch;
}

}  // namespace thinwire::trainer

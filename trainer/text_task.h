// Language modelling: which token comes next, on windows of a corpus.
#pragma once
#include <span>

#include "data/corpus.h"
#include "data/sampler.h"
#include "trainer/task.h"

namespace thinwire::trainer {

class TextTask : public Task {
 public:
  // vocab_size: of the model, no less than the tokenizer's.
  TextTask(data::Corpus corpus, int64_t vocab_size, int64_t context, uint64_t seed);

  Batch train_batch(int64_t first, int64_t count) const override;
  Batch validation_batch(int64_t first, int64_t count, int64_t total) const override;
  Scores score(const models::Model& model, const Batch& batch) const override;
  // val_bpb: bits per byte, comparable between tokenizers; without a tokenizer val_perplexity.
  Metric metric(const Scores& mean) const override;
  std::optional<std::string> sample(const models::Model& model) const override;

 private:
  data::Corpus corpus_;
  data::WindowSampler sampler_;
  int64_t context_;
  uint64_t seed_;
};

// starts: first token of each window; each needs context + 1 tokens.
Batch make_windows(const data::Tokens& split, std::span<const int64_t> starts, int64_t context);

}  // namespace thinwire::trainer

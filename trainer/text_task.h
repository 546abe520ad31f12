// Language modelling: which token comes next, on windows of a corpus.
#pragma once
#include <memory>
#include <span>

#include "base/draw.h"
#include "data/corpus.h"
#include "data/sampler.h"
#include "data/tokenizer.h"
#include "trainer/task.h"

namespace thinwire::trainer {

class TextTask : public Task {
 public:
  TextTask(data::Corpus corpus, std::unique_ptr<data::Tokenizer> tokenizer, int64_t context, uint64_t seed);

  Batch train_batch(int64_t first, int64_t count) const override;
  Batch validation_batch(int64_t first, int64_t count, int64_t total) const override;
  Scores score(const models::Model& model, const Batch& batch) const override;
  Metric metric(const Scores& mean) const override;  // val_bpb: bits per byte, comparable between tokenizers
  std::optional<std::string> sample(const models::Model& model) const override;

 private:
  data::Corpus corpus_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
  data::WindowSampler sampler_;
  int64_t context_;
  uint64_t seed_;
};

// starts: first token of each window; each needs context + 1 tokens.
Batch make_windows(std::span<const uint8_t> split, std::span<const int64_t> starts, int64_t context);

struct SamplingOptions {
  double temperature = 0.5;
  int64_t top_k = 40;
};
// Continues `prompt` by num_tokens tokens, each drawn from the top_k likeliest given the last `context` tokens.
std::string generate(const models::Model& model, int64_t context, const data::Tokenizer& tokenizer, const std::string& prompt,
                     int64_t num_tokens, const SamplingOptions& options, const Draw& draw);

}  // namespace thinwire::trainer

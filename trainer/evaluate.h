// Validation loss in bits per byte, and text from the model.
#pragma once
#include <string>

#include "base/draw.h"
#include "comm/driver.h"
#include "data/corpus.h"
#include "data/tokenizer.h"
#include "models/model.h"
#include "trainer/options.h"

namespace thinwire::trainer {

struct Validation {
  double loss = 0;           // nats per token
  double bits_per_byte = 0;  // comparable between tokenizers
};

// All ranks share the batches out among themselves; each evaluates its own parameters, which agree whenever the schedule has just
// exchanged.
Validation evaluate(const models::Model& model, const data::Corpus& corpus, const EvalOptions& options, int64_t micro_batch,
                    comm::Driver& driver);

struct SamplingOptions {
  double temperature = 0.5;
  int64_t top_k = 40;
};
// Continues `prompt` by num_tokens tokens, each drawn from the top_k likeliest.
std::string generate(const models::Model& model, const data::Tokenizer& tokenizer, const std::string& prompt, int64_t num_tokens,
                     const SamplingOptions& options, const Draw& draw);

}  // namespace thinwire::trainer

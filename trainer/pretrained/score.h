// How well a language model predicts a text.
#pragma once
#include <cstdint>
#include <functional>

#include "data/tokenizer.h"
#include "data/tokens.h"
#include "models/model.h"

namespace thinwire::trainer {

struct TextScore {
  int64_t tokens = 0, bytes = 0;  // that were predicted; bytes 0: not known
  double nats = 0;                // sum of -log of the probability of each
  int64_t windows = 0;            // in which they were read
  int64_t last_window = 0;        // tokens of the last one, which may be shorter
  double loss() const;            // nats per token
  double perplexity() const;
  double bits_per_byte() const;
};

// Of some windows, as they are scored.
struct Scored {
  int64_t done = 0, all = 0;  // tokens
  const at::Tensor& targets;  // int64 (windows, tokens)
  const at::Tensor& logits;   // fp32 (windows, tokens, vocabulary): what was said before each target
};

// Predicts every token but the first, once: in windows of `context`, each of which knows nothing of those before it, `rows` at a time.
// `tokenizer` null: bytes are not counted. `listener` is told in the order of the text. check: there are two tokens at least.
TextScore score_tokens(const models::Model& model, const data::Tokens& tokens, const data::Tokenizer* tokenizer, int64_t context,
                       int64_t rows, const std::function<void(const Scored&)>& listener = {});

}  // namespace thinwire::trainer

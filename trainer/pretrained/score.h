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

// Predicts every token but the first, once: in windows of `context`, each of which knows nothing of those before it, `rows` at a time.
// `tokenizer` null: bytes are not counted. `progress` is told after each batch how many tokens of how many are done. check: there are two
// tokens at least.
TextScore score_tokens(const models::Model& model, const data::Tokens& tokens, const data::Tokenizer* tokenizer, int64_t context,
                       int64_t rows, const std::function<void(int64_t done, int64_t all)>& progress = {});

}  // namespace thinwire::trainer

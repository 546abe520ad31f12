// Continuing a sequence of tokens, one at a time.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "base/draw.h"
#include "models/model.h"
#include "models/sampling.h"

namespace thinwire::models {

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_tokens = 256;
  std::optional<int64_t> end;  // stops at this token, which is not handed on
  // cached: keys and values are kept, and a token costs the work of one. recomputed: all of the window is passed through the model for each
  // token: slow, and what the other is held against. They agree up to rounding.
  enum class Past { cached, recomputed } past = Past::cached;
};

// Hands each new token to `on_token` as soon as there is one. Token i is drawn with draw.uniform(i).
//
// The model sees a window of at most `context` tokens, the last ones. A window that is full moves on by half its length, so that positions
// stay below `context` and most tokens are passed through the model once or twice. NonFiniteError when the model gives no scores.
void generate(const Model& model, int64_t context, std::vector<int64_t> prompt, const GenerateOptions& options, const Draw& draw,
              const std::function<void(int64_t)>& on_token);

}  // namespace thinwire::models

// Which token comes next, given the scores of all.
#pragma once
#include <cstdint>
#include <span>

namespace thinwire::models {

// Applied in this order, as Hugging Face's generate() does.
struct SamplingOptions {
  double temperature = 1;  // scores are divided by it; 0: always the likeliest
  int64_t top_k = 0;       // only the k likeliest; 0: all
  double top_p = 1;        // of those the fewest that have this probability together (Holtzman et al., arXiv 1904.09751); 1: all
};

// The token that `uniform`, in [0, 1), draws from softmax(logits / temperature) cut down as the options say. Of equal scores the lower token
// counts as the likelier. NonFiniteError when a score is NaN or positive infinity.
int64_t draw_token(std::span<const float> logits, const SamplingOptions& options, double uniform);

}  // namespace thinwire::models

#include "trainer/pretrained/score.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numbers>

#include "base/check.h"
#include "trainer/text_task.h"

namespace thinwire::trainer {

double TextScore::loss() const { return nats / static_cast<double>(tokens); }
double TextScore::perplexity() const { return std::exp(loss()); }
double TextScore::bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }

TextScore score_tokens(const models::Model& model, const data::Tokens& tokens, const data::Tokenizer* tokenizer, int64_t context,
                       int64_t rows, const std::function<void(const Scored&)>& listener) {
  check(tokens.size() >= 2 && context >= 1 && rows >= 1, "there is something to predict");
  const c10::AutoGradMode no_grad(false);
  TextScore score;
  const int64_t last = static_cast<int64_t>(tokens.size()) - 1;  // targets that there are
  const auto add = [&](const std::vector<int64_t>& starts, int64_t length) {
    const Batch batch = make_windows(tokens, starts, length);
    const int64_t count = batch.targets.numel();
    score.tokens += count;
    score.windows += static_cast<int64_t>(starts.size());
    score.last_window = length;
    const at::Tensor logits = model.logits(batch.inputs);
    score.nats += models::cross_entropy(logits, batch.targets).item<double>() * static_cast<double>(count);
    if (listener) listener({score.tokens, last, batch.targets, logits});
    if (tokenizer == nullptr) return;
    const std::span targets(batch.targets.const_data_ptr<int64_t>(), static_cast<size_t>(count));
    for (const int64_t target : targets) score.bytes += static_cast<int64_t>(tokenizer->bytes_of(static_cast<int32_t>(target)).size());
  };
  std::vector<int64_t> starts;
  int64_t start = 0;
  for (; start + context <= last; start += context) {
    starts.push_back(start);
    if (static_cast<int64_t>(starts.size()) == rows) add(std::exchange(starts, {}), context);
  }
  if (!starts.empty()) add(starts, context);
  if (start < last) add({start}, last - start);
  return score;
}

}  // namespace thinwire::trainer

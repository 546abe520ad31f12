#include "trainer/evaluate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "trainer/agreement.h"
#include "trainer/batches.h"

namespace thinwire::trainer {

Validation evaluate(const models::Model& model, const data::Corpus& corpus, const EvalOptions& options, int64_t micro_batch,
                    comm::Driver& driver) {
  const c10::AutoGradMode no_grad(false);
  struct Part {
    double nats = 0;
    int64_t batches = 0;
  } mine;
  for (int64_t b = driver.rank(); b < options.batches; b += driver.size()) {
    const Batch batch = validation_batch(corpus, model.context(), micro_batch, options.batches, b);
    mine.nats += model.loss(batch.tokens, batch.targets).item<double>();
    ++mine.batches;
  }
  Part all;
  for (const Part& part : gather_values(driver, "validation", mine)) {
    all.nats += part.nats;
    all.batches += part.batches;
  }
  const double loss = all.nats / static_cast<double>(all.batches);  // batches are of equal size
  return {loss, loss / std::numbers::ln2};                          // a byte token is one byte
}

std::string generate(const models::Model& model, const data::Tokenizer& tokenizer, const std::string& prompt, int64_t num_tokens,
                     const SamplingOptions& options, const Draw& draw) {
  const c10::AutoGradMode no_grad(false);
  std::vector<int32_t> tokens = tokenizer.encode(prompt);
  for (int64_t i = 0; i < num_tokens; ++i) {
    const int64_t length = std::min<int64_t>(static_cast<int64_t>(tokens.size()), model.context());
    auto window = at::empty({1, length}, at::kLong);
    std::copy(tokens.end() - length, tokens.end(), window.data_ptr<int64_t>());
    const auto scores = model.logits(window).select(1, length - 1).squeeze(0) / options.temperature;
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

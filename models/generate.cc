#include "models/generate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>

#include "base/check.h"
#include "models/kv_cache.h"

namespace thinwire::models {

namespace {

at::Tensor row_of(std::span<const int64_t> tokens) {
  auto row = at::empty({1, static_cast<int64_t>(tokens.size())}, at::kLong);
  std::copy(tokens.begin(), tokens.end(), row.data_ptr<int64_t>());
  return row;
}

// What the model sees of a sequence that grows.
class Window {
 public:
  Window(const Model& model, int64_t context, GenerateOptions::Past past) : model_(model), context_(context), past_(past) {}

  // Scores (V) of what follows `tokens`, which are those of the last call and more.
  at::Tensor next(const std::vector<int64_t>& tokens) {
    const auto size = static_cast<int64_t>(tokens.size());
    if (size - begin_ > context_) {
      begin_ = begin_ == 0 && cache_.length == 0 ? size - context_ : size - (context_ + 1) / 2;
      cache_.length = 0;
    }
    const std::span window = std::span(tokens).subspan(static_cast<size_t>(begin_));
    if (past_ == GenerateOptions::Past::cached) return model_.next_logits(row_of(window.subspan(static_cast<size_t>(cache_.length))), cache_);
    cache_.length = static_cast<int64_t>(window.size());  // as if
    return model_.logits(row_of(window)).select(1, cache_.length - 1).squeeze(0);
  }

 private:
  const Model& model_;
  int64_t context_;
  GenerateOptions::Past past_;
  KvCache cache_;
  int64_t begin_ = 0;
};

}  // namespace

void generate(const Model& model, int64_t context, std::vector<int64_t> tokens, const GenerateOptions& options, const Draw& draw,
              const std::function<void(int64_t)>& on_token) {
  check(!tokens.empty() && context >= 1, "something is to be continued");
  const c10::AutoGradMode no_grad(false);
  Window window(model, context, options.past);
  for (int64_t i = 0; i < options.max_tokens; ++i) {
    const at::Tensor scores = window.next(tokens).to(at::kFloat).cpu().contiguous();
    const std::span logits(scores.const_data_ptr<float>(), static_cast<size_t>(scores.numel()));
    const int64_t token = draw_token(logits, options.sampling, draw.uniform(static_cast<uint64_t>(i)));
    if (token == options.end) return;
    on_token(token);
    tokens.push_back(token);
  }
}

}  // namespace thinwire::models

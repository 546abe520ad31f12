#include "trainer/batches.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/check.h"

namespace thinwire::trainer {

Batch make_batch(std::span<const uint8_t> split, std::span<const int64_t> starts, int64_t context) {
  const auto rows = static_cast<int64_t>(starts.size());
  Batch batch{at::empty({rows, context}, at::kLong), at::empty({rows, context}, at::kLong)};
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t start = starts[static_cast<size_t>(row)];
    check(start >= 0 && start + context < static_cast<int64_t>(split.size()), "a window and its targets lie within the split");
    const auto first = split.begin() + start;
    std::copy(first, first + context, batch.tokens.data_ptr<int64_t>() + row * context);
    std::copy(first + 1, first + context + 1, batch.targets.data_ptr<int64_t>() + row * context);
  }
  return batch;
}

TrainBatches::TrainBatches(const data::Corpus& corpus, uint64_t seed, int64_t context, int64_t micro_batch, int64_t micro_batches, int rank,
                           int world)
    : corpus_(corpus),
      sampler_(seed, static_cast<int64_t>(corpus.train.size()), context),
      context_(context),
      micro_batch_(micro_batch),
      micro_batches_(micro_batches),
      rank_(rank),
      world_(world) {}

Batch TrainBatches::get(int64_t step, int64_t micro) const {
  const int64_t block = rank_ * micro_batches_ + micro;
  const int64_t first = (step - 1) * global_batch() + block * micro_batch_;
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < micro_batch_; ++i) starts.push_back(sampler_.start(first + i));
  return make_batch(corpus_.train, starts, context_);
}

Batch validation_batch(const data::Corpus& corpus, int64_t context, int64_t micro_batch, int64_t batches, int64_t index) {
  const int64_t last_start = static_cast<int64_t>(corpus.validation.size()) - context - 1;
  const int64_t intervals = std::max<int64_t>(1, batches * micro_batch - 1);
  std::vector<int64_t> starts;
  for (int64_t i = index * micro_batch; i < (index + 1) * micro_batch; ++i) {
    starts.push_back(static_cast<int64_t>(static_cast<double>(last_start) * static_cast<double>(i) / static_cast<double>(intervals)));
  }
  return make_batch(corpus.validation, starts, context);
}

}  // namespace thinwire::trainer

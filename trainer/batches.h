// Windows of the corpus as tensors.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>

#include "data/corpus.h"
#include "data/sampler.h"

namespace thinwire::trainer {

struct Batch {
  at::Tensor tokens, targets;  // int64 (B, T); targets are the tokens one later
};

// starts: first token of each window; each needs context + 1 tokens.
Batch make_batch(std::span<const uint8_t> split, std::span<const int64_t> starts, int64_t context);

// Training batches in the global order: step s (from 1) takes samples (s - 1) * global_batch ..., of which rank r's micro-batch m takes the
// block r * micro_batches + m. So N ranks see what one rank with N times the micro-batches sees, in the same order.
class TrainBatches {
 public:
  TrainBatches(const data::Corpus& corpus, uint64_t seed, int64_t context, int64_t micro_batch, int64_t micro_batches, int rank, int world);
  Batch get(int64_t step, int64_t micro) const;
  int64_t global_batch() const { return micro_batch_ * micro_batches_ * world_; }

 private:
  const data::Corpus& corpus_;
  data::WindowSampler sampler_;
  int64_t context_, micro_batch_, micro_batches_;
  int rank_, world_;
};

// Validation windows: `batches * micro_batch` of them, evenly spread over the split.
Batch validation_batch(const data::Corpus& corpus, int64_t context, int64_t micro_batch, int64_t batches, int64_t index);

}  // namespace thinwire::trainer

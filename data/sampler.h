// Which window of a corpus, or item of a set, is sample number i: a pure function of (seed, i), so any world size sees the same global
// batches and a resume needs one integer. Immutable: share it between threads freely.
#pragma once
#include <cstdint>

#include "base/draw.h"

namespace thinwire::data {

// The corpus is cut into W = (num_tokens - 1) / context windows. Each epoch (W samples) visits every window once in an order drawn from
// (seed, epoch): data/permutation.h. The cut itself is shifted in each epoch, by at most the tokens that W windows leave over.
class WindowSampler {
 public:
  WindowSampler(uint64_t seed, int64_t num_tokens, int64_t context);  // check: num_tokens > context
  int64_t num_windows() const { return num_windows_; }
  // First token of the window of global sample i (i >= 0); tokens [start, start + context] are inputs and targets.
  int64_t start(int64_t sample) const;

 private:
  Draw draw_;
  int64_t num_tokens_, context_, num_windows_;
};

// Each epoch (num_items samples) visits every item once in an order drawn from (seed, epoch).
class ItemSampler {
 public:
  ItemSampler(uint64_t seed, int64_t num_items);  // check: num_items >= 1
  int64_t item(int64_t sample) const;             // of global sample i (i >= 0): in [0, num_items)

 private:
  Draw draw_;
  int64_t num_items_;
};

}  // namespace thinwire::data

#include "data/sampler.h"

#include "base/check.h"
#include "data/permutation.h"

namespace thinwire::data {

WindowSampler::WindowSampler(uint64_t seed, int64_t num_tokens, int64_t context)
    : draw_(Draw(seed).fork("window sampler")), num_tokens_(num_tokens), context_(context), num_windows_(0) {
  check(context >= 1 && num_tokens > context, "the corpus holds one window at least");
  num_windows_ = (num_tokens - 1) / context;
}

int64_t WindowSampler::start(int64_t sample) const {
  check(sample >= 0, "samples are numbered from 0");
  const Draw epoch_draw = draw_.fork(static_cast<uint64_t>(sample / num_windows_));
  const int64_t left_over = num_tokens_ - 1 - num_windows_ * context_;
  const auto shift = static_cast<int64_t>(epoch_draw.fork("shift").below(0, static_cast<uint64_t>(left_over) + 1));
  return shift + permuted(sample % num_windows_, num_windows_, epoch_draw) * context_;
}

ItemSampler::ItemSampler(uint64_t seed, int64_t num_items) : draw_(Draw(seed).fork("item sampler")), num_items_(num_items) {
  check(num_items >= 1, "there is something to draw from");
}

int64_t ItemSampler::item(int64_t sample) const {
  check(sample >= 0, "samples are numbered from 0");
  return permuted(sample % num_items_, num_items_, draw_.fork(static_cast<uint64_t>(sample / num_items_)));
}

}  // namespace thinwire::data

#include "data/sampler.h"

#include <bit>
#include <utility>

#include "base/check.h"

namespace thinwire::data {
namespace {

constexpr uint64_t kRounds = 8;

// A permutation of [0, 2^(2 * half_bits)): whatever the round function is, each round can be undone.
uint64_t feistel(uint64_t value, int half_bits, const Draw& key) {
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t left = value >> half_bits, right = value & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    left ^= key.bits(round << 32 | right) & mask;
    std::swap(left, right);
  }
  return left << half_bits | right;
}

}  // namespace

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
  return shift + permuted(sample % num_windows_, epoch_draw) * context_;
}

// The domain is below four times the windows: fewer than four rounds of walking on average until the value is a window again.
int64_t WindowSampler::permuted(int64_t position, const Draw& epoch_draw) const {
  const auto num_windows = static_cast<uint64_t>(num_windows_);
  const int half_bits = (std::bit_width(num_windows - 1) + 1) / 2;
  auto value = static_cast<uint64_t>(position);
  do {
    value = feistel(value, half_bits, epoch_draw);
  } while (value >= num_windows);
  return static_cast<int64_t>(value);
}

}  // namespace thinwire::data

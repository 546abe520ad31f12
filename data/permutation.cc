#include "data/permutation.h"

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

// The domain is below four times the size: fewer than four rounds of walking on average until the value is within it again.
int64_t permuted(int64_t position, int64_t size, const Draw& key) {
  check(position >= 0 && position < size, "a position of the permutation");
  const int half_bits = (std::bit_width(static_cast<uint64_t>(size) - 1) + 1) / 2;
  auto value = static_cast<uint64_t>(position);
  do {
    value = feistel(value, half_bits, key);
  } while (value >= static_cast<uint64_t>(size));
  return static_cast<int64_t>(value);
}

}  // namespace thinwire::data

// Counter-based random numbers: a draw is a pure function of (seed, stream, index), so nothing needs saving on a checkpoint,
// any rank can compute any other rank's draw, and the order of evaluation does not matter.
//
// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11). Thread-safe: immutable values.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace thinwire {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class Draw {
 public:
  explicit Draw(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  // An independent stream for a named purpose or a numbered thing (a step, a layer, a rank).
  Draw fork(std::string_view purpose) const;
  Draw fork(uint64_t number) const;

  uint64_t bits(uint64_t index) const;                   // 64 random bits
  uint64_t below(uint64_t index, uint64_t bound) const;  // [0, bound), bias < 2^-64 * bound
  double uniform(uint64_t index) const;                  // [0, 1), 53 bits
  double normal(uint64_t index) const;                   // mean 0, variance 1 (Box-Muller)

  // All four words of the Philox block that the draws above take theirs from, for bulk draws, and what a vectorised Philox needs: the
  // counter is the index and the stream, the key the seed, each low word first.
  std::array<uint32_t, 4> words(uint64_t index) const;
  uint64_t seed() const { return seed_; }
  uint64_t stream() const { return stream_; }

 private:
  uint64_t seed_;
  uint64_t stream_;
};

}  // namespace thinwire

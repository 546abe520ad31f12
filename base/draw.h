// Counter-based random numbers: a draw is a pure function of (seed, stream, index), so nothing needs saving on a checkpoint,
// any rank can compute any other rank's draw, and the order of evaluation does not matter.
//
// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11). Thread-safe: immutable values. The
// generator is constexpr, so that kernels on a device run these very lines.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace thinwire {

constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  constexpr uint64_t kMul0 = 0xD2511F53, kMul1 = 0xCD9E8D57;  // multipliers and Weyl steps of the paper's table 2
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = kMul0 * c[0], p1 = kMul1 * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1), static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1],
         static_cast<uint32_t>(p0)};
    k[0] += kWeyl0;
    k[1] += kWeyl1;
  }
  return c;
}

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

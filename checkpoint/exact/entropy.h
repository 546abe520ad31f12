// How few bytes a static order-0 coder could make of some bytes: a guess that the encoder's choices rest on. No decoder uses it.
#pragma once
#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace thinwire::checkpoint::exact {

inline constexpr size_t kMostSampled = 4096;

class ByteCounts {
 public:
  void add(ConstBytes bytes);  // at most kMostSampled in all
  // Of `of_bytes` bytes that look like those counted, the table of frequencies included. Never more than of_bytes: then they stay as they
  // are. At least one byte was counted.
  double coded_bytes(size_t of_bytes) const;
  double most_frequent() const;  // its share

 private:
  std::array<uint16_t, 256> counts_{};
  uint32_t total_ = 0;
};

// 16 runs spread evenly over `of` positions, about `most` in all; one run of all where there are not more. visit(begin, count).
template <class Visit>
void for_each_sampled_run(size_t of, size_t most, const Visit& visit) {
  constexpr size_t kRuns = 16;
  if (of <= most) return visit(size_t{0}, of);
  const size_t run = most / kRuns;
  for (size_t i = 0; i < kRuns; ++i) visit((of - run) * i / (kRuns - 1), run);
}

}  // namespace thinwire::checkpoint::exact

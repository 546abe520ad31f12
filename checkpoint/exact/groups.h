// The elements of a chunk, sorted into groups by the exponent that they had in an earlier generation.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "checkpoint/exact/counts.h"
#include "checkpoint/exact/words.h"

namespace thinwire::checkpoint::exact {

inline constexpr size_t kFewestInGroup = 4096;  // smaller groups cost more in tables than they save

// The upper eight bits of what follows the sign: the exponent of fp32 and bf16. Of integers, nothing.
template <class Word>
size_t context_of(Word earlier, Numbers numbers) {
  if (numbers == Numbers::integers) return 0;
  return static_cast<size_t>(static_cast<Word>(earlier << 1) >> (kWordBits<Word> - 8));
}

class Groups {
 public:
  Groups() = default;
  template <class Word>
  Groups(std::span<const Word> earlier, Numbers numbers)
      : counts_(counts_of<uint32_t>(earlier.size(), [=](size_t i) { return context_of(earlier[i], numbers); })) {}

  // Bounds of groups of at least `fewest` elements, as far as there are so many: group g takes the contexts above last[g - 1] up to
  // last[g], the last group all the rest.
  std::vector<uint8_t> choose_bounds(size_t fewest) const {
    std::vector<uint8_t> last;
    size_t in_group = 0, left = 0;
    for (const uint32_t count : counts_) left += count;
    for (size_t context = 0; context < counts_.size(); ++context) {
      in_group += counts_[context];
      left -= counts_[context];
      if (in_group < fewest || left < fewest) continue;
      last.push_back(static_cast<uint8_t>(context));
      in_group = 0;
    }
    if (last.empty() || last.back() != 255) last.push_back(255);
    return last;
  }

  // Strictly ascending, and 255 at the end.
  void divide(const std::vector<uint8_t>& last) {
    begin_.assign(1, 0);
    size_t context = 0;
    for (size_t g = 0; g < last.size(); ++g) {
      uint32_t elems = 0;
      for (; context <= last[g]; ++context) {
        group_of_[context] = static_cast<uint8_t>(g);
        elems += counts_[context];
      }
      begin_.push_back(begin_.back() + elems);
    }
  }
  size_t begin(size_t group) const { return begin_[group]; }
  size_t elems(size_t group) const { return begin_[group + 1] - begin_[group]; }

  // visit(i, group, place): element i of the chunk is place-th of all groups one after another. Within a group the order stays.
  template <class Word, class Visit>
  void for_each_place(std::span<const Word> earlier, Numbers numbers, const Visit& visit) const {
    std::array<uint32_t, 256> next{};
    std::copy(begin_.begin(), begin_.end() - 1, next.begin());
    for (size_t i = 0; i < earlier.size(); ++i) {
      const size_t group = group_of_[context_of(earlier[i], numbers)];
      visit(i, group, next[group]++);
    }
  }

 private:
  std::array<uint32_t, 256> counts_{};
  std::array<uint8_t, 256> group_of_{};
  std::vector<uint32_t> begin_;
};

}  // namespace thinwire::checkpoint::exact

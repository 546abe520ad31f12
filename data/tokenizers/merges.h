// The heart of BPE: merging neighbours in the order of a list.
#pragma once
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace thinwire::data {

class Merges {
 public:
  void add(int32_t left, int32_t right, int32_t merged);  // comes after those that were added before; of one pair, the last counts
  size_t size() const { return by_pair_.size(); }
  // Replaces pairs by what they merge to, the earliest in the list first, of equal ones the leftmost, until there is none. O(n log n).
  void apply(std::vector<int32_t>& tokens) const;

 private:
  struct Merge {
    uint32_t rank;
    int32_t merged;
  };
  const Merge* find(int32_t left, int32_t right) const;
  std::unordered_map<uint64_t, Merge> by_pair_;
  uint32_t next_rank_ = 0;
};

}  // namespace thinwire::data

// Where a rank stands in a group of ranks.
#pragma once
#include <algorithm>

#include "base/check.h"
#include "comm/transport.h"

namespace thinwire::comm {

// The index of `world_rank` in the group. The group must hold it, and distinct ranks of the world.
inline int index_in(const Group& group, int world_rank, int world_size) {
  std::vector<int> sorted = group.members;
  std::sort(sorted.begin(), sorted.end());
  check(!sorted.empty() && sorted.front() >= 0 && sorted.back() < world_size, "the group's members are ranks of the world");
  check(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "the group's members are distinct");
  const auto at = std::find(group.members.begin(), group.members.end(), world_rank);
  check(at != group.members.end(), "only members open a group's channel");
  return static_cast<int>(at - group.members.begin());
}

}  // namespace thinwire::comm

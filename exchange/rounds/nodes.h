// Two levels: dense within a node, where bytes are cheap, and compressed between nodes, where they are not.
//
// The ranks of a node send their numbers to its leader, the lowest of them, who adds them up in rank order; leaders exchange the nodes'
// sums by the bucket's codec; each leader hands the result to its node as fp32. Between nodes a message costs 1 / (ranks per node) of
// what the flat exchange sends. Only leaders keep feedback.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "comm/wire.h"

namespace thinwire::exchange {

class Nodes {
 public:
  // node_of_rank[r] is equal for ranks of one node. All on one node, or each on its own: everything is flat, every rank leads.
  Nodes(const std::vector<int>& node_of_rank, int rank);

  bool flat() const { return flat_; }
  bool leads() const { return flat_ || local_.front() == rank_; }
  int num_leaders() const { return static_cast<int>(leaders_.size()); }  // flat: all ranks
  int leader_index() const;                                              // of a rank that leads, among the leaders

  // values = sum over the node / (ranks / nodes) on the leader, so that the mean over leaders is the mean over ranks, whatever the
  // nodes' sizes. Unspecified elsewhere. `arrived` is scratch.
  void reduce(comm::Wire& wire, std::span<float> values, std::vector<std::vector<float>>& arrived) const;
  // The leader's values on all ranks of the node.
  void spread(comm::Wire& wire, std::span<float> values) const;
  comm::Wire leaders(comm::Wire& wire) const { return comm::Wire(wire, leaders_); }

 private:
  int rank_;
  bool flat_ = true;
  float weight_ = 1;
  std::vector<int> local_, leaders_;  // ranks
};

}  // namespace thinwire::exchange

#include "exchange/rounds/nodes.h"

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "comm/collectives.h"

namespace thinwire::exchange {

Nodes::Nodes(const std::vector<int>& node_of_rank, int rank) : rank_(rank) {
  std::map<int, int> leader_of;  // a node's lowest rank
  for (int r = 0; r < static_cast<int>(node_of_rank.size()); ++r) {
    const int node = node_of_rank[static_cast<size_t>(r)];
    if (leader_of.try_emplace(node, r).second) leaders_.push_back(r);
    if (node == node_of_rank[static_cast<size_t>(rank)]) local_.push_back(r);
  }
  flat_ = leaders_.size() == node_of_rank.size() || leaders_.size() <= 1;
  if (flat_) {
    leaders_.clear();
    for (size_t r = 0; r < node_of_rank.size(); ++r) leaders_.push_back(static_cast<int>(r));
  }
  weight_ = static_cast<float>(leaders_.size()) / static_cast<float>(node_of_rank.size());
}

int Nodes::leader_index() const { return static_cast<int>(std::find(leaders_.begin(), leaders_.end(), rank_) - leaders_.begin()); }

void Nodes::reduce(comm::Wire& wire, std::span<float> values, std::vector<std::vector<float>>& arrived) const {
  comm::Wire local(wire, local_);
  std::vector<comm::Op> ops;
  if (!leads()) {
    ops.push_back({.kind = comm::Op::Kind::send, .peer = 0, .buffer = {.data = values.data(), .bytes = values.size_bytes()}});
    local.run(ops, "sum within the node");
    return;
  }
  arrived.resize(local_.size());
  for (int r = 1; r < local.size(); ++r) {
    auto& part = arrived[static_cast<size_t>(r)];
    part.resize(values.size());
    ops.push_back({.kind = comm::Op::Kind::recv, .peer = r, .buffer = {.data = part.data(), .bytes = values.size_bytes()}});
  }
  local.run(ops, "sum within the node");
  for (const comm::Op& op : ops) {
    if (op.received != values.size_bytes()) {
      local.fail("rank " + std::to_string(local.member(op.peer)) + " sent " + std::to_string(op.received) + " bytes instead of " +
                     std::to_string(values.size_bytes()),
                 "sum within the node");
    }
    const auto& part = arrived[static_cast<size_t>(op.peer)];
    for (size_t i = 0; i < values.size(); ++i) values[i] += part[i];
  }
  for (float& x : values) x *= weight_;
}

void Nodes::spread(comm::Wire& wire, std::span<float> values) const {
  comm::Wire local(wire, local_);
  comm::broadcast(local, std::as_writable_bytes(values), 0);
}

}  // namespace thinwire::exchange

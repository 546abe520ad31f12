#include "data/tokenizers/merges.h"

#include <queue>

namespace thinwire::data {

namespace {
uint64_t key_of(int32_t left, int32_t right) { return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right); }

constexpr int32_t kNone = -1;

struct Symbol {  // a token of the piece, in a list of those that are left
  int32_t token, previous, next;
};
struct Candidate {
  uint32_t rank;
  int32_t at;           // of the left symbol
  int32_t left, right;  // as they were when this was found: later merges may have changed them
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
};
}  // namespace

void Merges::add(int32_t left, int32_t right, int32_t merged) { by_pair_[key_of(left, right)] = {next_rank_++, merged}; }

const Merges::Merge* Merges::find(int32_t left, int32_t right) const {
  const auto found = by_pair_.find(key_of(left, right));
  return found == by_pair_.end() ? nullptr : &found->second;
}

void Merges::apply(std::vector<int32_t>& tokens) const {
  if (tokens.size() < 2) return;
  std::vector<Symbol> symbols;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto at = static_cast<int32_t>(i);
    symbols.push_back({tokens[i], at - 1, i + 1 < tokens.size() ? at + 1 : kNone});
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int32_t at) {
    if (at == kNone || symbols[static_cast<size_t>(at)].next == kNone) return;
    const Symbol& left = symbols[static_cast<size_t>(at)];
    const int32_t right = symbols[static_cast<size_t>(left.next)].token;
    if (const Merge* merge = find(left.token, right)) queue.push({merge->rank, at, left.token, right});
  };
  for (int32_t at = 0; at < static_cast<int32_t>(symbols.size()); ++at) consider(at);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<size_t>(best.at)];
    if (left.token != best.left || left.next == kNone || symbols[static_cast<size_t>(left.next)].token != best.right) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    left.token = find(best.left, best.right)->merged;
    left.next = right.next;
    right.token = kNone;
    if (left.next != kNone) symbols[static_cast<size_t>(left.next)].previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  tokens.clear();
  for (int32_t at = 0; at != kNone; at = symbols[static_cast<size_t>(at)].next) tokens.push_back(symbols[static_cast<size_t>(at)].token);
}

}  // namespace thinwire::data

#include "comm/collectives.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/function_ref.h"

namespace thinwire::comm {

namespace {
Op send_to(int peer, ConstBytes bytes, Memory memory = {}) {
  return {.kind = Op::Kind::send, .peer = peer, .buffer = {const_cast<std::byte*>(bytes.data()), bytes.size(), memory}};
}
Op recv_from(int peer, MutableBytes bytes, Memory memory = {}) {
  return {.kind = Op::Kind::recv, .peer = peer, .buffer = {bytes.data(), bytes.size(), memory}};
}

void require_size(Wire& wire, const Op& op, size_t expected_bytes, const char* what) {
  if (op.received == expected_bytes) return;
  wire.fail(fmt::format("rank {} sent {} bytes instead of {}", wire.member(op.peer), op.received, expected_bytes), what);
}

// Sends to_of(p) to each peer and receives into[p] from it, in one step. Returns the receives, in the wire's scratch; each rank starts with
// its right neighbour, so that no rank is everybody's first.
std::span<const Op> swap_all(Wire& wire, FunctionRef<ConstBytes(size_t)> to_of, std::span<MutableBytes> into, const char* what,
                             Memory memory = {}) {
  const int size = wire.size();
  check(into.size() == static_cast<size_t>(size), "there is one buffer per member");
  std::vector<Op>& ops = wire.ops();
  for (int step = 1; step < size; ++step) {
    const int left = (wire.rank() - step + size) % size;
    ops.push_back(recv_from(left, into[static_cast<size_t>(left)], memory));
  }
  for (int step = 1; step < size; ++step) {
    const int right = (wire.rank() + step) % size;
    ops.push_back(send_to(right, to_of(static_cast<size_t>(right)), memory));
  }
  wire.run(ops, what);
  return std::span(ops).first(static_cast<size_t>(size - 1));
}

void cut_to_received(std::span<MutableBytes> into, std::span<const Op> receives) {
  for (const Op& op : receives) {
    auto& bytes = into[static_cast<size_t>(op.peer)];
    bytes = bytes.first(op.received);
  }
}
}  // namespace

void barrier(Wire& wire) {
  const int size = wire.size();
  std::byte out{}, in{};
  for (int distance = 1; distance < size; distance *= 2) {
    Op ops[] = {send_to((wire.rank() + distance) % size, {&out, 1}), recv_from((wire.rank() - distance + size) % size, {&in, 1})};
    wire.run(ops, "barrier");
    require_size(wire, ops[1], 1, "barrier");
  }
}

void broadcast(Wire& wire, MutableBytes bytes, int root, Memory memory) {
  const int size = wire.size();
  check(root >= 0 && root < size, "the root is a member");
  const int place = (wire.rank() - root + size) % size;  // in the tree, the root being 0
  const auto rank_at = [&](int other_place) { return (other_place + root) % size; };
  int reach = 1;  // the parent is `reach` before us, the children are at smaller powers of two behind us
  while (reach < size && (place & reach) == 0) reach *= 2;
  if (place != 0) {
    Op receive = recv_from(rank_at(place - reach), bytes, memory);
    wire.run({&receive, 1}, "broadcast");
    require_size(wire, receive, bytes.size(), "broadcast");
  }
  std::vector<Op> sends;  // the largest subtree first
  for (int distance = reach / 2; distance > 0; distance /= 2) {
    if (place + distance < size) sends.push_back(send_to(rank_at(place + distance), bytes, memory));
  }
  wire.run(sends, "broadcast");
}

void all_gather(Wire& wire, ConstBytes mine, std::span<MutableBytes> into, Memory memory) {
  cut_to_received(into, swap_all(wire, [mine](size_t) { return mine; }, into, "all_gather", memory));
}

std::vector<std::vector<std::byte>> all_gather(Wire& wire, ConstBytes mine, size_t max_bytes_each) {
  if (mine.size() > max_bytes_each) {
    wire.fail(fmt::format("own message has {} bytes, more than the {} agreed on", mine.size(), max_bytes_each), "all_gather");
  }
  const auto size = static_cast<size_t>(wire.size()), own = static_cast<size_t>(wire.rank());
  std::vector<std::vector<std::byte>> messages(size);
  std::vector<MutableBytes> into(size);
  for (size_t r = 0; r < size; ++r) {
    if (r == own) continue;
    messages[r].resize(max_bytes_each);
    into[r] = messages[r];
  }
  all_gather(wire, mine, into);
  for (size_t r = 0; r < size; ++r) {
    messages[r].resize(into[r].size());
    messages[r].shrink_to_fit();
  }
  messages[own].assign(mine.begin(), mine.end());
  return messages;
}

void all_to_all(Wire& wire, std::span<const ConstBytes> to, std::span<MutableBytes> from, Memory memory) {
  check(to.size() == from.size(), "there is one buffer per member");
  cut_to_received(from, swap_all(wire, [to](size_t r) { return to[r]; }, from, "all_to_all", memory));
}

Slice owned_slice(size_t num_elems, int owner, int num_owners, size_t align) {
  check(owner >= 0 && owner < num_owners && align > 0, "the owner is one of the owners");
  const size_t units = num_elems / align + (num_elems % align != 0);
  const size_t num = static_cast<size_t>(num_owners), each = units / num, plain_owners = num - units % num;
  const auto begin_of = [&](size_t who) {
    return std::min(num_elems, (who * each + (who > plain_owners ? who - plain_owners : 0)) * align);
  };
  return {begin_of(static_cast<size_t>(owner)), begin_of(static_cast<size_t>(owner) + 1)};
}

namespace {
// First shot: everyone's values of the own slice, by rank (own entry: the values themselves).
std::vector<std::vector<float>> collect_own_slice(Wire& wire, std::span<const float> values, Slice own, const char* what) {
  const int size = wire.size();
  std::vector<std::vector<float>> parts(static_cast<size_t>(size));
  std::vector<ConstBytes> to(parts.size());
  std::vector<MutableBytes> from(parts.size());
  for (int r = 0; r < size; ++r) {
    const auto at = static_cast<size_t>(r);
    if (r == wire.rank()) {
      parts[at].assign(values.begin() + static_cast<ptrdiff_t>(own.begin), values.begin() + static_cast<ptrdiff_t>(own.end));
      continue;
    }
    const Slice theirs = owned_slice(values.size(), r, size);
    to[at] = bytes_of(values.subspan(theirs.begin, theirs.size()));
    parts[at].resize(own.size());
    from[at] = std::as_writable_bytes(std::span(parts[at]));
  }
  for (const Op& op : swap_all(wire, [&](size_t r) { return to[r]; }, from, what)) require_size(wire, op, own.size() * sizeof(float), what);
  return parts;
}
}  // namespace

void sum_in_rank_order(Wire& wire, std::span<float> values) {
  constexpr const char* kWhat = "sum_in_rank_order";
  const int size = wire.size();
  if (size == 1) return;
  const Slice own = owned_slice(values.size(), wire.rank(), size);
  const std::span<float> sum = values.subspan(own.begin, own.size());
  const auto parts = collect_own_slice(wire, values, own, kWhat);
  std::copy(parts[0].begin(), parts[0].end(), sum.begin());
  for (size_t r = 1; r < parts.size(); ++r) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += parts[r][i];
  }
  std::vector<MutableBytes> into(parts.size());
  for (int r = 0; r < size; ++r) {
    const Slice theirs = owned_slice(values.size(), r, size);
    if (r != wire.rank()) into[static_cast<size_t>(r)] = std::as_writable_bytes(values.subspan(theirs.begin, theirs.size()));
  }
  for (const Op& op : swap_all(wire, [sum](size_t) { return bytes_of(sum); }, into, kWhat)) require_size(wire, op, op.buffer.bytes, kWhat);
}

}  // namespace thinwire::comm

#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <thread>

#include "base/bytes.h"
#include "base/draw.h"
#include "comm/collectives.h"
#include "comm/driver.h"
#include "tests/support/transport_cases.h"

namespace thinwire::test {

using namespace comm;

namespace {
// Sizes around a limit of 1000 bytes per message, which the MPI suite injects.
constexpr size_t kSizes_bytes[] = {0, 1, 7, 999, 1000, 1001, 2000, 2001, 100'003};

// The message number `number` from one rank to another: a pattern that no other message has.
std::vector<std::byte> message(int from, int to, size_t number, size_t num_bytes) {
  std::vector<std::byte> bytes(num_bytes);
  for (size_t i = 0; i < num_bytes; ++i) {
    bytes[i] = static_cast<std::byte>(i * 31 + i / 256 + number * 7 + static_cast<size_t>(from) * 61 + static_cast<size_t>(to) * 17);
  }
  return bytes;
}
void require_equal(ConstBytes got, ConstBytes expected, const std::string& what) {
  require(got.size() == expected.size(), fmt::format("{}: {} bytes came instead of {}", what, got.size(), expected.size()));
  require(got.empty() || std::memcmp(got.data(), expected.data(), got.size()) == 0, what + ": other bytes came");
}
Op op(Op::Kind kind, int peer, std::vector<std::byte>& bytes) { return {kind, peer, {bytes.data(), bytes.size()}}; }
int ceil_log2(int n) {
  int log = 0;
  while ((1 << log) < n) ++log;
  return log;
}
}  // namespace

// The ranks share a clock: threads of one process, or processes of one machine.
void barrier_lets_nobody_leave_before_all_entered(Transport& transport) {
  Line line(transport, "barrier");
  const auto now_s = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  for (int late = 0; late < line.wire.size(); ++late) {
    if (line.wire.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    double times_s[2] = {now_s(), 0};
    barrier(line.wire);
    times_s[1] = now_s();
    double last_entry_s = 0, first_exit_s = INFINITY;
    for (const auto& bytes : all_gather(line.wire, bytes_of(std::span<const double>(times_s)), sizeof times_s)) {
      last_entry_s = std::max(last_entry_s, load_le<double>(bytes.data()));
      first_exit_s = std::min(first_exit_s, load_le<double>(bytes.data() + sizeof(double)));
    }
    require(last_entry_s <= first_exit_s,
            fmt::format("with rank {} late, one left {} s before the last entered", late, last_entry_s - first_exit_s));
  }
}

void broadcast_reaches_everyone_from_every_root(Transport& transport) {
  Line line(transport, "broadcast");
  for (int root = 0; root < line.wire.size(); ++root) {
    for (const size_t num_bytes : kSizes_bytes) {
      const auto expected = message(root, 0, 1, num_bytes);
      auto bytes = line.wire.rank() == root ? expected : std::vector<std::byte>(num_bytes);
      broadcast(line.wire, bytes, root);
      require_equal(bytes, expected, fmt::format("{} bytes of root {}", num_bytes, root));
    }
  }
}

void all_gather_cuts_unequal_messages_to_size(Transport& transport) {
  Line line(transport, "all_gather");
  const int size = line.wire.size(), own = line.wire.rank();
  for (size_t shift = 0; shift < std::size(kSizes_bytes); ++shift) {
    const auto size_of = [&](int rank) { return kSizes_bytes[(static_cast<size_t>(rank) + shift) % std::size(kSizes_bytes)]; };
    std::vector<std::vector<std::byte>> buffers(static_cast<size_t>(size));
    std::vector<MutableBytes> into(buffers.size());
    for (size_t r = 0; r < buffers.size(); ++r) {
      buffers[r].resize(size_of(static_cast<int>(r)) + (r % 2 == 0 ? 0 : 5));  // exact room, and room to spare
      into[r] = buffers[r];
    }
    const size_t own_room = into[static_cast<size_t>(own)].size();
    all_gather(line.wire, message(own, 0, shift, size_of(own)), into);
    for (int r = 0; r < size; ++r) {
      if (r != own) require_equal(into[static_cast<size_t>(r)], message(r, 0, shift, size_of(r)), fmt::format("message of rank {}", r));
    }
    require(into[static_cast<size_t>(own)].size() == own_room, "the own entry is left alone");
  }
}

void all_gather_finds_unknown_sizes(Transport& transport) {
  Line line(transport, "all_gather");
  const auto size_of = [](int rank) { return static_cast<size_t>(rank % 3) * 1000; };
  const auto all = all_gather(line.wire, message(line.wire.rank(), 0, 0, size_of(line.wire.rank())), size_t{2000});
  require(all.size() == static_cast<size_t>(line.wire.size()), "one message per member");
  for (int r = 0; r < line.wire.size(); ++r)
    require_equal(all[static_cast<size_t>(r)], message(r, 0, 0, size_of(r)), fmt::format("rank {}", r));
}

void all_to_all_carries_every_pairs_message(Transport& transport) {
  Line line(transport, "all_to_all");
  const int size = line.wire.size(), own = line.wire.rank();
  const auto size_of = [](int from, int to, size_t shift) {
    return kSizes_bytes[(static_cast<size_t>(from * 3 + to) + shift) % std::size(kSizes_bytes)];
  };
  for (size_t shift = 0; shift < std::size(kSizes_bytes); ++shift) {
    std::vector<std::vector<std::byte>> out, in;
    for (int r = 0; r < size; ++r) {
      out.push_back(message(own, r, shift, size_of(own, r, shift)));
      in.emplace_back(size_of(r, own, shift));
    }
    const std::vector<ConstBytes> to(out.begin(), out.end());
    std::vector<MutableBytes> from(in.begin(), in.end());
    all_to_all(line.wire, to, from);
    for (int r = 0; r < size; ++r) {
      if (r != own)
        require_equal(from[static_cast<size_t>(r)], message(r, own, shift, size_of(r, own, shift)), fmt::format("from rank {}", r));
    }
  }
}

void sum_of_whole_numbers_is_exact(Transport& transport) {
  Line line(transport, "sum");
  const int size = line.wire.size();
  for (const size_t num_elems : {size_t{0}, size_t{1}, size_t{2}, size_t{31}, size_t{1001}, size_t{1} << 20}) {
    std::vector<float> values(num_elems);
    for (size_t i = 0; i < num_elems; ++i) values[i] = static_cast<float>((i % 1000) * static_cast<size_t>(line.wire.rank() + 1));
    sum_in_rank_order(line.wire, values);
    for (size_t i = 0; i < num_elems; ++i) {
      const auto expected = static_cast<float>((i % 1000) * static_cast<size_t>(size * (size + 1) / 2));
      if (values[i] != expected) require(false, fmt::format("element {} of {} is {} instead of {}", i, num_elems, values[i], expected));
    }
  }
}

void sum_adds_in_rank_order_to_the_bit(Transport& transport) {
  Line line(transport, "sum");
  constexpr size_t kElems = 10007;
  // Magnitudes over 20 powers of two: adding them in another order gives other bits.
  const auto value = [](int rank, size_t i) {
    const Draw draw = Draw(5).fork(static_cast<uint64_t>(rank));
    return static_cast<float>(std::ldexp(draw.normal(i), static_cast<int>(draw.below(i + kElems, 20))));
  };
  std::vector<float> values(kElems), expected(kElems), backwards(kElems, 0.0f);
  for (size_t i = 0; i < kElems; ++i) {
    values[i] = value(line.wire.rank(), i);
    expected[i] = value(0, i);
    for (int r = 1; r < line.wire.size(); ++r) expected[i] += value(r, i);
    for (int r = line.wire.size(); r-- > 0;) backwards[i] += value(r, i);
  }
  values[0] = expected[0] = -0.0f;  // rank 0's values are taken as they are, not added to 0
  sum_in_rank_order(line.wire, values);
  require_equal(bytes_of(std::span(values)), bytes_of(std::span(expected)), "the sum");
  require(line.wire.size() < 3 || values != backwards, "these values tell orders apart");
}

void messages_of_one_peer_arrive_in_order(Transport& transport) {
  Line line(transport, "order");
  const int size = line.wire.size(), own = line.wire.rank();
  if (size == 1) return;
  const int left = (own + size - 1) % size, right = (own + 1) % size;
  const size_t num_messages = 4 * std::size(kSizes_bytes);
  const auto size_of = [](size_t number) { return kSizes_bytes[number * 5 % std::size(kSizes_bytes)]; };
  std::vector<std::vector<std::byte>> in(num_messages), out(num_messages);
  std::vector<Op> receives, sends;
  for (size_t i = 0; i < num_messages; ++i) {
    in[i].resize(size_of(i));
    out[i] = message(own, right, i, size_of(i));
    receives.push_back(op(Op::Kind::recv, left, in[i]));
    sends.push_back(op(Op::Kind::send, right, out[i]));
  }
  std::vector<Ticket> tickets;
  for (auto& receive : receives) tickets.push_back(line.channel->post({&receive, 1}));
  line.wire.run(sends, "sends");
  for (size_t i = num_messages; i-- > 0;) {  // asked for from the last: the tickets do not depend on who asks first
    while (line.channel->poll(tickets[i]).state == Status::State::pending) std::this_thread::yield();
    require(receives[i].received == in[i].size(), fmt::format("message {} has its size", i));
  }
  for (size_t i = 0; i < num_messages; ++i) require_equal(in[i], message(left, own, i, size_of(i)), fmt::format("message {}", i));
}

void channels_do_not_mix(Transport& transport) {
  constexpr size_t kChannels = 6;
  std::vector<std::unique_ptr<Line>> lines;
  for (size_t c = 0; c < kChannels; ++c)
    lines.push_back(std::make_unique<Line>(transport, c < 3 ? "same name" : fmt::format("channel {}", c)));
  const int size = transport.world_size(), own = transport.world_rank();
  std::vector<std::vector<std::byte>> in(kChannels * static_cast<size_t>(size)), out(in.size());
  std::vector<std::vector<Op>> ops(kChannels);
  std::vector<Ticket> tickets(kChannels);
  for (size_t step = 0; step < kChannels; ++step) {  // posted in another order on every rank
    const size_t c = (step + static_cast<size_t>(own)) % kChannels;
    for (int r = 0; r < size; ++r) {
      const size_t at = c * static_cast<size_t>(size) + static_cast<size_t>(r);
      if (r == own) continue;
      in[at].resize(1500);
      out[at] = message(own, r, c, 1500);
      ops[c].push_back(op(Op::Kind::send, r, out[at]));
      ops[c].push_back(op(Op::Kind::recv, r, in[at]));
    }
    tickets[c] = lines[c]->channel->post(ops[c]);
  }
  for (size_t c = 0; c < kChannels; ++c) {
    while (lines[c]->channel->poll(tickets[c]).state == Status::State::pending) std::this_thread::yield();
    for (int r = 0; r < size; ++r) {
      const auto& bytes = in[c * static_cast<size_t>(size) + static_cast<size_t>(r)];
      if (r != own) require_equal(bytes, message(r, own, c, 1500), fmt::format("channel {} from rank {}", c, r));
    }
  }
}

void subgroups_work_beside_each_other(Transport& transport) {
  const int own = transport.world_rank();
  Group group{.epoch = 3, .members = {}};
  for (int r = transport.world_size() - 1; r >= 0; --r) {  // members in an order of their own
    if (r % 2 == own % 2) group.members.push_back(r);
  }
  const auto channel = transport.open(group, "parity");
  Wire wire(*channel, kPatience_s);
  require(channel->member(wire.rank()) == own, "a member's rank in the world is the one the group gave");
  const auto all = all_gather(wire, bytes_of(std::span(&own, 1)), sizeof own);
  require(all.size() == group.members.size(), "one message per member");
  for (size_t i = 0; i < all.size(); ++i) require(load_le<int>(all[i].data()) == group.members[i], "messages lie in the members' order");
}

void counters_follow_the_formulas(Transport& transport) {
  Line line(transport, "counters");
  const auto size = static_cast<uint64_t>(line.wire.size());
  const auto sent_by = [&](const std::function<void()>& collective) {
    const uint64_t before = line.wire.counters().sent_bytes;
    collective();
    return line.wire.counters().sent_bytes - before;
  };
  const auto expect = [](const char* what, uint64_t got, uint64_t expected) {
    require(got == expected, fmt::format("{} sent {} bytes instead of {}", what, got, expected));
  };
  expect("barrier", sent_by([&] { barrier(line.wire); }), static_cast<uint64_t>(ceil_log2(line.wire.size())));

  std::vector<std::byte> bytes(300);
  const uint64_t broadcasted = sent_by([&] { broadcast(line.wire, bytes, 0); });
  uint64_t total = 0;
  for (const auto& one : all_gather(line.wire, bytes_of(std::span(&broadcasted, 1)), sizeof broadcasted))
    total += load_le<uint64_t>(one.data());
  expect("broadcast of all ranks", total, (size - 1) * 300);
  if (line.wire.rank() == 0) expect("broadcast of the root", broadcasted, static_cast<uint64_t>(ceil_log2(line.wire.size())) * 300);

  expect("all_gather", sent_by([&] { all_gather(line.wire, bytes, size_t{300}); }), (size - 1) * 300);

  std::vector<float> values(size * 10);
  const uint64_t received_before = line.wire.counters().received_bytes;
  expect("sum", sent_by([&] { sum_in_rank_order(line.wire, values); }), 2 * (size - 1) * 10 * sizeof(float));
  require(line.wire.counters().received_bytes - received_before == 2 * (size - 1) * 10 * sizeof(float), "as much is received as sent");
}

void driver_runs_jobs_in_the_order_posted(Transport& transport) {
  std::vector<int> order;
  std::deque<Task> tasks;
  Driver driver(transport, kPatience_s);
  for (int i = 0; i < 20; ++i) {
    driver.post(tasks.emplace_back(fmt::format("job {}", i), [&order, i](Wire& wire) {
      const auto all = all_gather(wire, bytes_of(std::span(&i, 1)), sizeof i);
      for (const auto& one : all) require(load_le<int>(one.data()) == i, "all ranks run the same job");
      order.push_back(i);
    }));
  }
  for (Task& task : tasks) driver.wait(task);
  for (int i = 0; i < 20; ++i) require(order.at(static_cast<size_t>(i)) == i, "jobs run in the order posted");
  const auto peers = static_cast<uint64_t>(driver.size() - 1);
  require(driver.counters().sent_bytes == 20 * peers * sizeof(int), "the driver counts the bytes of its jobs");
}

}  // namespace thinwire::test

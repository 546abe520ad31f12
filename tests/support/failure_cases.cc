#include <future>

#include "base/bytes.h"
#include "comm/collectives.h"
#include "comm/driver.h"
#include "tests/support/transport_cases.h"

namespace thinwire::test {

using namespace comm;

namespace {
Op receive_from(int peer, MutableBytes bytes) { return {Op::Kind::recv, peer, {bytes.data(), bytes.size()}}; }
}  // namespace

void message_beyond_the_capacity_fails(Transport& transport) {
  if (transport.world_size() == 1) return;
  for (const size_t capacity_bytes : {size_t{0}, size_t{10}, size_t{1000}, size_t{2500}}) {  // parts may be of 1000
    Line line(transport, "capacity");
    const int own = line.wire.rank();
    std::vector<std::byte> bytes(capacity_bytes + 64, std::byte{42});
    if (own == 0) {
      Op send{Op::Kind::send, 1, {bytes.data(), capacity_bytes + 1}};
      require_error(comm_error_of([&] { line.wire.run({&send, 1}, "send"), barrier(line.wire); }), ExitCode::comm, "rank 1: rank 0 sent");
    } else if (own == 1) {
      bytes.assign(bytes.size(), std::byte{7});
      Op receive = receive_from(0, MutableBytes(bytes).first(capacity_bytes));
      require_error(comm_error_of([&] {
                      line.wire.run({&receive, 1}, "receive");
                    }),
                    ExitCode::comm, fmt::format("{} bytes", capacity_bytes));
      for (size_t i = capacity_bytes; i < bytes.size(); ++i) require(bytes[i] == std::byte{7}, "nothing is written beyond the capacity");
    } else {
      require_error(comm_error_of([&] { barrier(line.wire); }), ExitCode::comm, "rank 1: rank 0 sent");
    }
  }
}

// Everyone waits for the last rank, which gives up.
void abort_unblocks_every_waiter(Transport& transport) {
  Line line(transport, "abort");
  const int last = line.wire.size() - 1;
  if (line.wire.rank() == last) line.channel->abort(ExitCode::no_progress, "the watchdog bit");
  std::byte byte{};
  Op receive = receive_from(line.wire.rank() == last ? 0 : last, {&byte, 1});
  const std::string expected = fmt::format("rank {}: the watchdog bit", last);
  if (line.wire.size() > 1) require_error(comm_error_of([&] { line.wire.run({&receive, 1}, "wait"); }), ExitCode::no_progress, expected);
  if (line.wire.size() > 1) require_error(comm_error_of([&] { barrier(line.wire); }), ExitCode::no_progress, expected);
}

// The last rank is there but sends nothing, until the others have given up on it.
void deadline_names_the_absent_peer(Transport& transport) {
  if (transport.world_size() == 1) return;
  Line line(transport, "deadline", 0.2), control(transport, "control");
  const int last = line.wire.size() - 1;
  if (line.wire.rank() != last) {
    std::byte byte{};
    Op receive = receive_from(last, {&byte, 1});
    line.wire.set_purpose("bucket 2");
    const CommError error = comm_error_of([&] { line.wire.run({&receive, 1}, "all_gather"); });
    require_error(error, ExitCode::no_progress, fmt::format("no message from rank {} for 0.2 s in all_gather (bucket 2)", last));
  }
  barrier(control.wire);
}

void job_that_throws_ends_it_on_all_ranks(Transport& transport) {
  const std::string text = "the loss of step 3 is NaN";
  const int last = transport.world_size() - 1;
  Task exchange("exchange", [&](Wire& wire) {
    if (wire.rank() == last) throw NonFiniteError(text);
    barrier(wire);
  });
  Task later("later", [](Wire&) {});
  Driver driver(transport, kPatience_s);
  driver.post(exchange);
  driver.post(later);
  if (driver.rank() != last) {
    const std::string expected = fmt::format("rank {}: {}", last, text);
    require_error(comm_error_of([&] { driver.wait(exchange); }), ExitCode::non_finite, expected);
    require_error(comm_error_of([&] { driver.wait(later); }), ExitCode::non_finite, expected);
    return;
  }
  for (Task* task : {&exchange, &later}) {
    try {
      driver.wait(*task);
      require(false, "the job's error did not come");
    } catch (const NonFiniteError& e) {
      require(e.what() == text, "the thrower meets its own error unchanged");
    }
  }
}

void abort_of_the_training_thread_ends_a_waiting_job(Transport& transport) {
  if (transport.world_size() == 1) return;
  std::promise<void> started;
  Task waiting("exchange", [&](Wire& wire) {
    started.set_value();
    std::byte byte{};
    Op receive = receive_from((wire.rank() + 1) % wire.size(), {&byte, 1});  // that nobody sends
    wire.run({&receive, 1}, "wait");
  });
  Driver driver(transport, kPatience_s);
  const int last = driver.size() - 1;
  driver.post(waiting);
  started.get_future().wait();
  if (driver.rank() == last) driver.abort(ExitCode::data, "shard 4 is corrupt");
  const std::string expected = fmt::format("rank {}: shard 4 is corrupt", last);
  require_error(comm_error_of([&] { driver.wait(waiting); }), ExitCode::data, expected);
  require_error(comm_error_of([&] { driver.run("later", [](Wire&) {}); }), ExitCode::data, expected);
}

}  // namespace thinwire::test

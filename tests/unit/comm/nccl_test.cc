#include "comm/nccl/nccl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/collectives.h"
#include "comm/driver.h"
#include "comm/nccl/handshake.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/transport_cases.h"
#include "tests/support/transport_suite.h"

namespace thinwire::comm {
namespace {

using test::comm_error_of;
using test::Fault;
using test::Line;
using test::MockMachine;
using test::run_nccl_ranks;
using testing::HasSubstr;
using testing::IsEmpty;

void expect_tidy(MockMachine& machine) {
  EXPECT_THAT(machine.violations(), IsEmpty());
  EXPECT_EQ(machine.num_live_objects(), 0u);
}

class NcclSuite : public testing::TestWithParam<std::tuple<test::TransportCase, int, size_t>> {};

TEST_P(NcclSuite, Holds) {
  const auto& [one, num_ranks, limit_bytes] = GetParam();
  MockMachine machine;
  run_nccl_ranks(machine, num_ranks, {.close_timeout_s = 20, .part_limit_bytes = limit_bytes}, one.run);
  expect_tidy(machine);
}

INSTANTIATE_TEST_SUITE_P(Every, NcclSuite,
                         testing::Combine(testing::ValuesIn(test::transport_cases().begin(), test::transport_cases().end()),
                                          testing::Values(1, 2, 3, 4, 7), testing::Values(size_t{1000}, size_t{1} << 24)),
                         [](const auto& of) {
                           return std::get<0>(of.param).name + std::to_string(std::get<1>(of.param)) + "RanksPartsOf" +
                                  std::to_string(std::get<2>(of.param));
                         });

TEST(Nccl, HasOneBulkLaneAndItsControlOverTheBootstrap) {
  MockMachine machine;
  run_nccl_ranks(machine, 2, {}, [](Transport& transport) {
    EXPECT_EQ(transport.control().name(), "loopback");
    Driver driver(transport, 10, 4);
    EXPECT_EQ(driver.bulk_lanes(), 1);
    driver.run("control", [](Wire& wire) { barrier(wire); });
    Task bulk("bulk", [](Wire& wire) { barrier(wire); });
    driver.post(bulk, driver.bulk_lane(7));
    driver.wait(bulk);
  });
  expect_tidy(machine);
}

// Every kind of collective that takes device memory, from buffers that the channel must not copy through its own.
TEST(Nccl, MovesDeviceBuffersWhereTheyLie) {
  MockMachine machine;
  run_nccl_ranks(machine, 3, {.part_limit_bytes = 100}, [](Transport& transport) {
    Line line(transport, "device");
    const auto own = static_cast<size_t>(line.wire.rank());
    const Memory device{.place = Place::cuda};
    std::vector<std::vector<std::byte>> in(3, std::vector<std::byte>(250));
    std::vector<MutableBytes> into(in.begin(), in.end());
    const std::vector<std::byte> mine(240 + own, static_cast<std::byte>(own + 1));
    all_gather(line.wire, mine, into, device);
    for (size_t r = 0; r < 3; ++r) {
      if (r == own) continue;
      EXPECT_THAT(into[r], testing::AllOf(testing::SizeIs(240 + r), testing::Each(static_cast<std::byte>(r + 1))));
    }
    std::vector<std::byte> shared(333, static_cast<std::byte>(own));
    broadcast(line.wire, shared, 2, device);
    EXPECT_THAT(shared, testing::Each(std::byte{2}));
  });
  expect_tidy(machine);
}

TEST(Nccl, TouchesNoDeviceBufferBeforeItIsReady) {
  MockMachine machine;
  run_nccl_ranks(machine, 2, {}, [&](Transport& transport) {
    Line line(transport, "ready"), control(transport.control(), "control");
    cuda::Runtime& runtime = machine.runtime(transport.world_rank());
    const bool is_sender = transport.world_rank() == 0;
    const cuda::Stream compute = runtime.make_stream();
    const cuda::Event ready = runtime.make_event();
    std::byte late{9}, byte{is_sender ? std::byte{1} : std::byte{0}};
    if (is_sender) {  // the sender's stream computes what is sent: 9, once the gate opens
      machine.put_gate(compute);
      runtime.copy(&byte, &late, 1, compute);
      runtime.record(ready, compute);
    }
    Op op{is_sender ? Op::Kind::send : Op::Kind::recv, is_sender ? 1 : 0, {&byte, 1, {Place::cuda, is_sender ? ready : nullptr}}};
    const Ticket ticket = line.channel->post({&op, 1});
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(line.channel->poll(ticket).state, Status::State::pending);
    barrier(control.wire);
    if (is_sender) machine.open_gates();
    while (line.channel->poll(ticket).state == Status::State::pending) std::this_thread::yield();
    EXPECT_EQ(byte, std::byte{9});
    barrier(control.wire);
    runtime.destroy_event(ready);
    runtime.destroy_stream(compute);
  });
  expect_tidy(machine);
}

TEST(Nccl, LateCallsChangeNothingButTheTime) {
  MockMachine machine({.kind = Fault::Kind::late});
  run_nccl_ranks(machine, 4, {.part_limit_bytes = 1000}, [](Transport& transport) {
    test::sum_adds_in_rank_order_to_the_bit(transport);
    test::all_to_all_carries_every_pairs_message(transport);
    test::messages_of_one_peer_arrive_in_order(transport);
  });
  EXPECT_TRUE(machine.has_struck());
  expect_tidy(machine);
}

TEST(Nccl, ARankThatOpensNoChannelIsNamedByAll) {
  MockMachine machine;
  run_nccl_ranks(machine, 4, {.timeout_s = 0.2}, [](Transport& transport) {
    Line control(transport.control(), "control");
    if (transport.world_rank() != 2) {
      EXPECT_THAT(comm_error_of([&] { Line(transport, "line"); }).what(),
                  testing::AllOf(HasSubstr("no message from rank 2 for 0.2 s"), HasSubstr("opening NCCL channel 'line'")));
    }
    barrier(control.wire);
  });
  expect_tidy(machine);
}

// Loopback's end of the side channel, in the hands of somebody who does not know the protocol.
TEST(Nccl, ANoteThatMakesNoSenseNamesItsSender) {
  const std::vector<std::byte> short_note(8), odd_kind(9, std::byte{7}), long_note(10);
  for (const auto& note : {short_note, odd_kind, long_note}) {
    test::run_ranks(2, [&](Transport& transport) {
      const auto side = transport.open(Line::everyone(transport), "side");
      std::byte byte{};
      Op op{Op::Kind::recv, 1 - side->rank(), {&byte, 1}};
      if (side->rank() == 1) {
        op = {Op::Kind::send, 0, {const_cast<std::byte*>(note.data()), note.size()}};
        side->post({&op, 1});
        return;
      }
      Handshake handshake(*side);
      handshake.announce({&op, 1});
      std::optional<Status> failed;
      const CommError error = comm_error_of([&] {
        while (!failed) failed = handshake.poll([](const Handshake::Note&) { ADD_FAILURE() << "it was taken"; });
        throw CommError(failed->why);
      });
      EXPECT_THAT(error.what(), HasSubstr("rank 1 sent"));
    });
  }
}

// Whoever closes in peace waits for what peers still have to take, but not for a peer that never closes.
TEST(Nccl, ClosingHasALimit) {
  MockMachine machine;
  run_nccl_ranks(machine, 2, {.close_timeout_s = 0.05}, [](Transport& transport) {
    Line control(transport.control(), "control");
    auto line = std::make_unique<Line>(transport, "line");
    barrier(line->wire);
    if (transport.world_rank() == 0) line.reset();
    barrier(control.wire);
  });
  expect_tidy(machine);
}

}  // namespace
}  // namespace thinwire::comm

#include "comm/loopback/loopback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "comm/collectives.h"
#include "tests/support/run_ranks.h"
#include "tests/support/transport_cases.h"
#include "tests/support/transport_suite.h"

namespace thinwire::comm {
namespace {

using test::comm_error_of;
using test::Line;
using testing::HasSubstr;

class LoopbackSuite : public testing::TestWithParam<std::tuple<test::TransportCase, int>> {};

TEST_P(LoopbackSuite, Holds) {
  const auto& [one, num_ranks] = GetParam();
  test::run_ranks(num_ranks, one.run);
}

INSTANTIATE_TEST_SUITE_P(Every, LoopbackSuite,
                         testing::Combine(testing::ValuesIn(test::transport_cases().begin(), test::transport_cases().end()),
                                          testing::Values(1, 2, 3, 4, 7)),
                         [](const auto& of) { return std::get<0>(of.param).name + std::to_string(std::get<1>(of.param)) + "Ranks"; });

TEST(Loopback, AMemberThatLeavesIsMissedAtOnce) {
  const auto hub = make_loopback_hub(2);
  const auto first = make_loopback_transport(hub, 0), second = make_loopback_transport(hub, 1);
  Line waiting(*first, "line");
  std::byte in{}, out{5};
  {
    Line leaving(*second, "line");
    Op send{Op::Kind::send, 0, {&out, 1}};
    leaving.wire.run({&send, 1}, "send");
  }
  Op receive{Op::Kind::recv, 1, {&in, 1}};
  waiting.wire.run({&receive, 1}, "receive");  // what it sent before still arrives
  EXPECT_EQ(in, out);
  EXPECT_THAT(comm_error_of([&] { waiting.wire.run({&receive, 1}, "receive"); }).what(), HasSubstr("rank 1 left"));
}

TEST(Loopback, ARankThatNeverOpensTheChannelIsMissedAtOnce) {
  const auto hub = make_loopback_hub(2);
  const auto first = make_loopback_transport(hub, 0);
  auto second = make_loopback_transport(hub, 1);
  Line waiting(*first, "line");
  second.reset();
  EXPECT_THAT(comm_error_of([&] { barrier(waiting.wire); }).what(), HasSubstr("rank 1 left"));
}

TEST(Loopback, AbortOfTheHubReachesChannelsOpenedLater) {
  const auto hub = make_loopback_hub(2);
  const auto transport = make_loopback_transport(hub, 0);
  abort_loopback(*hub, 1, ExitCode::data, "no such file");
  Line line(*transport, "late");
  const CommError error = comm_error_of([&] { barrier(line.wire); });
  EXPECT_THAT(error.what(), HasSubstr("rank 1: no such file"));
  EXPECT_EQ(error.code(), ExitCode::data);
}

TEST(Loopback, AnEpochIsAChannelOfItsOwn) {
  const auto hub = make_loopback_hub(2);
  const auto first = make_loopback_transport(hub, 0), second = make_loopback_transport(hub, 1);
  const auto old_epoch = first->open({.epoch = 1, .members = {0, 1}}, "line"),
             new_epoch = second->open({.epoch = 2, .members = {0, 1}}, "line");
  std::byte byte{};
  Op send{Op::Kind::send, 1, {&byte, 1}}, receive{Op::Kind::recv, 0, {&byte, 1}};
  old_epoch->post({&send, 1});
  const Ticket ticket = new_epoch->post({&receive, 1});
  EXPECT_EQ(new_epoch->poll(ticket).state, Status::State::pending);
  EXPECT_EQ(new_epoch->waiting_for(ticket), std::vector<int>{0});
}

TEST(Loopback, RefusesGroupsThatCannotBe) {
  const auto transport = make_loopback_transport(make_loopback_hub(3), 0);
  EXPECT_THROW(transport->open({.members = {1, 2}}, "without me"), BrokenInvariant);
  EXPECT_THROW(transport->open({.members = {0, 3}}, "beyond the world"), BrokenInvariant);
  EXPECT_THROW(transport->open({.members = {0, 1, 1}}, "twice"), BrokenInvariant);
}

TEST(RunRanks, RethrowsTheFirstErrorWithRankAndCode) {
  try {
    test::run_ranks(3, [](Transport& transport) {
      Line line(transport, "line");
      if (transport.world_rank() == 2) throw DataError("the shard is gone");
      barrier(line.wire);
    });
    FAIL() << "rank 2 threw";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_STREQ(e.what(), "rank 2: the shard is gone");
  }
}

}  // namespace
}  // namespace thinwire::comm

#include "comm/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/check.h"

namespace thinwire::comm {
namespace {

using testing::HasSubstr;

// Answers polls as a test says, and remembers what it was told.
class ScriptedChannel : public Channel {
 public:
  std::function<Status(int poll_number)> answer;
  int polls = 0;
  std::string abort_why;
  ExitCode abort_code = ExitCode::ok;

  int own_rank = 0;
  std::vector<int> peers;   // of the operations posted
  std::vector<int> absent;  // what waiting_for() says

  int rank() const override { return own_rank; }
  int size() const override { return 4; }
  int member(int index) const override { return index + 10; }
  Ticket post(std::span<Op> ops) override {
    for (Op& op : ops) {
      peers.push_back(op.peer);
      if (op.kind == Op::Kind::recv) op.received = op.buffer.bytes;
    }
    return 1;
  }
  Status poll(Ticket) override { return answer(polls++); }
  Status health() override { return {}; }
  std::vector<int> waiting_for(Ticket) const override { return absent; }
  void abort(ExitCode code, std::string_view why) noexcept override {
    abort_code = code;
    abort_why = why;
  }
};

Status done() {
  Status status;
  status.state = Status::State::done;
  return status;
}
Status pending(uint64_t progress = 0) {
  Status status;
  status.progress = progress;
  return status;
}
Op receive() { return {Op::Kind::recv, 1, {}}; }

CommError error_of_run(Wire& wire, std::string_view what) {
  Op op = receive();
  try {
    wire.run({&op, 1}, what);
  } catch (const CommError& e) {
    return e;
  }
  ADD_FAILURE() << "it failed, yet run() returned";
  return CommError("");
}

TEST(Wire, NamesAllMissingPeersByTheirRankInTheWorld) {
  ScriptedChannel channel;
  channel.answer = [](int) { return pending(); };
  channel.absent = {3, 1};
  Wire wire(channel, 0.05);
  wire.set_purpose("bucket 2");
  const CommError e = error_of_run(wire, "all_gather");
  EXPECT_STREQ(e.what(), "no message from ranks 11, 13 for 0.05 s in all_gather (bucket 2)");
  EXPECT_EQ(e.code(), ExitCode::no_progress);
  EXPECT_EQ(channel.abort_why, e.what()) << "peers must not wait either";
  EXPECT_EQ(channel.abort_code, ExitCode::no_progress);
}

TEST(Wire, AsksItsPatienceWhatADeadlineMeansBeforeAnybodyIsTold) {
  ScriptedChannel channel;
  channel.answer = [](int) { return pending(); };
  channel.absent = {1};
  const auto patience = std::make_shared<Patience>(60);
  patience->set_timeout_s(0.05);  // what holds is what it says while the wire waits
  patience->report_by([&](const Stuck& stuck) {
    EXPECT_EQ(stuck.what, "all_gather");
    EXPECT_EQ(stuck.purpose, "bucket 2");
    EXPECT_EQ(stuck.missing, std::vector<int>{11});
    EXPECT_EQ(channel.abort_why, "");
    return Diagnosis{ExitCode::comm, "rank 11 never came"};
  });
  Wire wire(channel, patience);
  wire.set_purpose("bucket 2");
  const CommError e = error_of_run(wire, "all_gather");
  EXPECT_STREQ(e.what(), "rank 11 never came");
  EXPECT_EQ(e.code(), ExitCode::comm);
  EXPECT_EQ(channel.abort_why, "rank 11 never came");
}

// The process was stopped in between: it has not waited.
TEST(Wire, TimeInWhichItDidNotLookCountsForOneSecondAtMost) {
  ScriptedChannel channel;
  channel.answer = [](int poll) {
    if (poll == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1600));
    return poll < 3 ? pending() : done();
  };
  Wire wire(channel, 1.3);
  Op op = receive();
  EXPECT_NO_THROW(wire.run({&op, 1}, "all_gather"));
}

TEST(Wire, DeadlineCountsFromTheLastProgress) {
  ScriptedChannel channel;
  channel.answer = [](int poll) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return poll < 30 ? pending(static_cast<uint64_t>(poll / 2)) : done();  // 300 ms in all, never 150 ms without progress
  };
  Wire wire(channel, 0.15);
  Op op = receive();
  wire.run({&op, 1}, "receive");
  EXPECT_EQ(channel.polls, 31);
  EXPECT_GE(wire.counters().busy_s, 0.3);
}

TEST(Wire, KeepsTheExitCodeOfThePeerThatFailed) {
  ScriptedChannel channel;
  channel.answer = [](int) { return Status::failed(ExitCode::non_finite, "rank 12: the loss is NaN"); };
  Wire wire(channel, 1);
  const CommError e = error_of_run(wire, "barrier");
  EXPECT_EQ(e.code(), ExitCode::non_finite);
  EXPECT_THAT(e.what(), HasSubstr("rank 12: the loss is NaN"));
  EXPECT_THAT(e.what(), HasSubstr("barrier"));
}

TEST(Wire, DoesNothingForNoOperations) {
  ScriptedChannel channel;
  Wire wire(channel, 1);
  wire.run({}, "nothing");
  EXPECT_EQ(channel.polls, 0);
}

Status all_done(int) { return done(); }

TEST(WireOfASubset, CountsItsMembersFromZero) {
  ScriptedChannel channel;
  channel.own_rank = 2;
  Wire wire(channel, 1), subset(wire, {0, 2, 3});
  EXPECT_EQ(subset.rank(), 1);
  EXPECT_EQ(subset.size(), 3);
  EXPECT_EQ(subset.member(0), 10);
  EXPECT_EQ(subset.member(1), 12);
  EXPECT_EQ(subset.member(2), 13);
  Wire part(subset, {1, 2});
  EXPECT_EQ(part.rank(), 0);
  EXPECT_EQ(part.size(), 2);
  EXPECT_EQ(part.member(1), 13);
}

TEST(WireOfASubset, SpeaksToThePeersOfItsParentAndLeavesTheOperationsAsTheyWere) {
  ScriptedChannel channel;
  channel.answer = all_done;
  Wire wire(channel, 1), subset(wire, {0, 2, 3}), part(subset, {0, 2});
  std::byte bytes[8] = {};
  Op ops[] = {{Op::Kind::send, 2, {bytes, 3}}, {Op::Kind::recv, 1, {bytes, 8}}};
  subset.run(ops, "swap");
  EXPECT_EQ(channel.peers, (std::vector<int>{3, 2}));
  EXPECT_EQ(ops[0].peer, 2);
  EXPECT_EQ(ops[1].peer, 1);
  EXPECT_EQ(ops[1].received, 8u);
  Op one = {Op::Kind::send, 1, {bytes, 4}};
  part.run({&one, 1}, "send");
  EXPECT_EQ(channel.peers.back(), 3);
}

TEST(WireOfASubset, CountsItsBytesInItsParent) {
  ScriptedChannel channel;
  channel.answer = all_done;
  Wire wire(channel, 1), subset(wire, {0, 1}), part(subset, {0, 1});
  std::byte bytes[8] = {};
  for (Wire* each : {&wire, &subset, &part}) {
    Op ops[] = {{Op::Kind::send, 1, {bytes, 3}}, {Op::Kind::recv, 1, {bytes, 8}}};
    each->run(ops, "swap");
  }
  for (const Wire* each : {&wire, &subset, &part}) {
    EXPECT_EQ(each->counters().sent_bytes, 9u);
    EXPECT_EQ(each->counters().received_bytes, 24u);
  }
  EXPECT_GT(part.counters().busy_s, 0);
  EXPECT_EQ(part.counters().busy_s, wire.counters().busy_s);
}

TEST(WireOfASubset, FailsAsItsParentDoes) {
  ScriptedChannel channel;
  channel.answer = [](int) { return pending(); };
  channel.absent = {3};
  Wire wire(channel, 0.05), subset(wire, {0, 3});
  wire.set_purpose("bucket 2");
  Op op = receive();
  try {
    subset.run({&op, 1}, "sum within the node");
    FAIL() << "nobody answered, yet run() returned";
  } catch (const CommError& e) {
    EXPECT_STREQ(e.what(), "no message from rank 13 for 0.05 s in sum within the node (bucket 2)");
    EXPECT_EQ(channel.abort_why, e.what());
  }
  try {
    subset.fail("rank 13 sent 3 bytes instead of 4", "sum", ExitCode::data);
    FAIL() << "fail() returned";
  } catch (const CommError& e) {
    EXPECT_STREQ(e.what(), "rank 13 sent 3 bytes instead of 4 in sum (bucket 2)");
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_EQ(channel.abort_code, ExitCode::data);
  }
}

TEST(WireOfASubset, HoldsThisRankAndAscends) {
  ScriptedChannel channel;
  Wire wire(channel, 1);
  EXPECT_THROW(Wire(wire, {1, 2}), BrokenInvariant);
  EXPECT_THROW(Wire(wire, {2, 0}), BrokenInvariant);
}

}  // namespace
}  // namespace thinwire::comm

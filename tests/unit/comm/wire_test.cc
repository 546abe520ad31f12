#include "comm/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

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

  int rank() const override { return 0; }
  int size() const override { return 4; }
  int member(int index) const override { return index + 10; }
  Ticket post(std::span<Op>) override { return 1; }
  Status poll(Ticket) override { return answer(polls++); }
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
Status pending(std::vector<int> waiting_for, uint64_t progress = 0) {
  Status status;
  status.waiting_for = std::move(waiting_for);
  status.progress = progress;
  return status;
}
Op receive() { return {Op::Kind::recv, 1, {}}; }

TEST(Wire, NamesAllMissingPeersByTheirRankInTheWorld) {
  ScriptedChannel channel;
  channel.answer = [](int) { return pending({3, 1}); };
  Wire wire(channel, 0.05);
  wire.set_purpose("bucket 2");
  Op op = receive();
  try {
    wire.run({&op, 1}, "all_gather");
    FAIL() << "nobody answered, yet run() returned";
  } catch (const CommError& e) {
    EXPECT_STREQ(e.what(), "no message from ranks 11, 13 for 0.05 s in all_gather (bucket 2)");
    EXPECT_EQ(e.code(), ExitCode::comm);
    EXPECT_EQ(channel.abort_why, e.what()) << "peers must not wait either";
    EXPECT_EQ(channel.abort_code, ExitCode::comm);
  }
}

TEST(Wire, DeadlineCountsFromTheLastProgress) {
  ScriptedChannel channel;
  channel.answer = [](int poll) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return poll < 30 ? pending({1}, static_cast<uint64_t>(poll / 2)) : done();  // 300 ms in all, never 150 ms without progress
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
  Op op = receive();
  try {
    wire.run({&op, 1}, "barrier");
    FAIL() << "the peer failed, yet run() returned";
  } catch (const CommError& e) {
    EXPECT_EQ(e.code(), ExitCode::non_finite);
    EXPECT_THAT(e.what(), HasSubstr("rank 12: the loss is NaN"));
    EXPECT_THAT(e.what(), HasSubstr("barrier"));
  }
}

TEST(Wire, DoesNothingForNoOperations) {
  ScriptedChannel channel;
  Wire wire(channel, 1);
  wire.run({}, "nothing");
  EXPECT_EQ(channel.polls, 0);
}

}  // namespace
}  // namespace thinwire::comm

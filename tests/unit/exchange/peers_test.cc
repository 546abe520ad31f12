// Peers that are out of step, gone or silent: every rank learns of it by an error that says whose fault it is. Only silence takes until the
// deadline to be noticed.
#include <gmock/gmock.h>

#include <latch>

#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr int kPeers = 3;

std::vector<Failure> round_with_an_odd_one(const Trial& trial, const Trial& odd_trial, const RoundInfo& info, const RoundInfo& odd_info) {
  return failures_of(kPeers, [&](comm::Transport& transport) {
    const bool odd = transport.world_rank() == 2;
    const Trial& own = odd ? odd_trial : trial;
    Rank rank(transport, own);
    rank.round(odd ? odd_info : info, own.inputs(1)[static_cast<size_t>(rank.index())]);
  });
}

TEST(OutOfStep, IsARankAtAnotherStep) {
  for (const Modelled& codec : {none_codec(), topk_codec()}) {
    const Trial trial = three_slots(codec);
    expect_comm_errors(round_with_an_odd_one(trial, trial, {5, 1, false}, {6, 1, false}),
                       AllOf(HasSubstr("frame is of step "), HasSubstr("out of step"),
                             AnyOf(HasSubstr("of step 6, expected 5"), HasSubstr("of step 5, expected 6"))));
  }
}

TEST(OutOfStep, IsARankWithAnotherSlotTable) {
  for (const Modelled& codec : {none_codec(), topk_codec()}) {
    const Trial trial = three_slots(codec);
    Trial renamed = trial;
    renamed.slots[1].name = "second.bias";
    expect_comm_errors(round_with_an_odd_one(trial, renamed, {1, 1, false}, {1, 1, false}), HasSubstr("slot_table_hash"));
  }
}

TEST(OutOfStep, IsARankWithAnotherCodec) {
  // bf16 and none differ in length as well; the odd one's longer frames do not fit, or its peers' shorter ones say what they are.
  expect_comm_errors(round_with_an_odd_one(three_slots(bf16_codec()), three_slots(none_codec()), {1, 1, false}, {1, 1, false}),
                     AnyOf(HasSubstr("codec_id"), HasSubstr("more than the")));
}

TEST(OutOfStep, IsARankThatWarmsUpLonger) {
  const Trial trial = three_slots(topk_codec());
  expect_comm_errors(round_with_an_odd_one(trial, trial, {1, 1, false}, {1, 1, true}), HasSubstr("rank "));
}

TEST(OutOfStep, IsARankWithOtherBuckets) {
  const Trial trial = three_slots(none_codec());
  Trial small = trial;
  small.bucket_bytes = 4;
  expect_comm_errors(round_with_an_odd_one(trial, small, {1, 1, false}, {1, 1, false}), HasSubstr("rank "));
}

TEST(LostRank, IsNamedWhenItLeavesBetweenTwoBuckets) {
  Trial trial = three_slots(topk_codec());
  trial.bucket_bytes = 4;
  const auto failures = failures_of(kPeers, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto inputs = trial.inputs(1)[static_cast<size_t>(rank.index())];
    if (rank.index() != 1) return rank.round({1, 1, false}, inputs);
    rank.begin_with({1, 1, false}, inputs);
    rank.exchange.ready(2);  // the first bucket is on its way, and is waited for; then the thread ends
  });
  EXPECT_EQ(failures[1].code, ExitCode::ok);
  expect_comm_errors({failures[0], failures[2]}, HasSubstr("rank 1 left"));
}

TEST(LostRank, IsNamedWhenItNeverComesToTheRound) {
  const Trial trial = three_slots(none_codec());
  const auto failures = failures_of(kPeers, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    if (rank.index() != 1) rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
  });
  expect_comm_errors({failures[0], failures[2]}, HasSubstr("rank 1 left"));
}

TEST(LostRank, IsNamedAtTheDeadlineWhenItIsSilent) {
  const Trial trial = three_slots(none_codec());
  std::latch all_began(kPeers), others_ended(kPeers - 1);
  const auto failures = failures_of(kPeers, [&](comm::Transport& transport) {
    Rank rank(transport, trial, 0.5);
    all_began.arrive_and_wait();
    if (rank.index() == 1) return others_ended.wait();
    const struct Ended {
      std::latch& latch;
      ~Ended() { latch.count_down(); }
    } ended{others_ended};
    rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
  });
  for (const int rank : {0, 2}) {
    EXPECT_EQ(failures[static_cast<size_t>(rank)].code, ExitCode::no_progress);
    EXPECT_THAT(failures[static_cast<size_t>(rank)].what, HasSubstr("no message from rank 1 for 0.5 s"));
    EXPECT_THAT(failures[static_cast<size_t>(rank)].what, HasSubstr("exchange of bucket 0"));
  }
}

}  // namespace
}  // namespace thinwire::exchange

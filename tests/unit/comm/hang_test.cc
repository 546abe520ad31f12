#include "comm/hang.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/log.h"
#include "comm/rendezvous/siblings.h"

namespace thinwire::comm {
namespace {

using flight::Event;
using flight::Kind;
using flight::Snapshot;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Records = std::vector<std::optional<Snapshot>>;

constexpr int64_t kNow_us = 1'000'000'000;

// A rank in step 340, with nothing under way.
Snapshot idle(int rank) {
  Snapshot snapshot;
  snapshot.rank = rank;
  snapshot.process = getpid();
  snapshot.host = log::host_name();
  snapshot.step = 340;
  snapshot.beat_us = kNow_us;
  for (const char* thread : {"training", "control", "bulk 1", "background"}) snapshot.tracks.push_back({thread, 0, {}, {}});
  return snapshot;
}

std::vector<Event>& open(Snapshot& snapshot, std::string_view thread) {
  return std::find_if(snapshot.tracks.begin(), snapshot.tracks.end(), [&](const auto& track) { return track.thread == thread; })->open;
}

Event event(Kind kind, std::string name, int64_t number = -1) {
  return {.kind = kind, .name = std::move(name), .number = number, .begin_us = kNow_us - 61'000'000};
}

// On the wire in task `number` of a lane.
Snapshot waiting(int rank, const char* lane, const std::string& task, int64_t number, const char* operation = "all_to_all") {
  Snapshot snapshot = idle(rank);
  open(snapshot, lane) = {event(Kind::task, task, number), event(Kind::wire, operation)};
  open(snapshot, "training") = {event(Kind::wait, task)};
  return snapshot;
}

Stuck stuck_in(std::string purpose, std::vector<int> missing, std::string what = "all_to_all") {
  return {std::move(what), std::move(purpose), std::move(missing), 60};
}

Hang explain(const Stuck& stuck, const Records& records, const char* lane = "bulk 1") {
  return explain_hang(stuck, 0, lane, records, kNow_us);
}

TEST(Hang, NamesTheRankThatHasNotComeAndWhatItIsAtInstead) {
  const std::string task = "exchange of bucket 2";
  Records records = {waiting(0, "bulk 1", task, 41), waiting(1, "bulk 1", task, 41), idle(2)};
  open(*records[2], "training") = {event(Kind::data, "batch", 1)};
  const Hang hang = explain(stuck_in(task, {1, 2}), records);  // rank 1 waits for rank 2, too
  EXPECT_THAT(hang.arrived, ElementsAre(0, 1));
  EXPECT_THAT(hang.missing, ElementsAre(2));
  EXPECT_FALSE(hang.out_of_step);
  EXPECT_THAT(hang.text,
              HasSubstr("no progress for 60 s in all_to_all (exchange of bucket 2) at step 340: arrived 0, 1; missing 2; rank 2 on"));
  EXPECT_THAT(hang.text, HasSubstr("is at step 340: data batch 1 for 61 s; its process " + std::to_string(getpid()) + " is alive"));
}

TEST(Hang, ARankWithinTheTaskButNotOnTheWireHasNotCome) {
  const std::string task = "exchange of bucket 2";
  Records records = {waiting(0, "bulk 1", task, 41), waiting(1, "bulk 1", task, 41)};
  open(*records[1], "bulk 1").back() = event(Kind::encode, "model.norm.weight");
  const Hang hang = explain(stuck_in(task, {1}), records);
  EXPECT_THAT(hang.missing, ElementsAre(1));
  EXPECT_THAT(hang.text, HasSubstr("encode model.norm.weight for 61 s"));
}

TEST(Hang, ARankThatIsPastItHasCome) {
  Records records = {waiting(0, "control", "step report", 7), waiting(1, "control", "validation", 8), idle(2)};
  const Hang hang = explain(stuck_in("step report", {2}), records, "control");
  EXPECT_THAT(hang.arrived, ElementsAre(0, 1));
  EXPECT_THAT(hang.missing, ElementsAre(2));
}

TEST(Hang, WhatCannotBeReadIsKnownFromTheWireAlone) {
  Records records = {waiting(0, "bulk 1", "exchange of bucket 0", 3), std::nullopt, std::nullopt};
  const Hang hang = explain(stuck_in("exchange of bucket 0", {2}), records);
  EXPECT_THAT(hang.arrived, ElementsAre(0, 1));
  EXPECT_THAT(hang.missing, ElementsAre(2));
  EXPECT_THAT(hang.text, HasSubstr("what rank 2 is at is not known"));
}

TEST(Hang, RanksOutOfStepAreToldWithBothOperations) {
  for (const bool same_lane : {true, false}) {
    Records records = {waiting(0, "control", "validation", 57, "all_gather"), same_lane
                                                                                  ? waiting(1, "control", "step report", 57, "broadcast")
                                                                                  : waiting(1, "bulk 1", "exchange of bucket 0", 120)};
    const Hang hang = explain(stuck_in("validation", {1}, "all_gather"), records, "control");
    EXPECT_TRUE(hang.out_of_step);
    EXPECT_THAT(
        hang.text,
        HasSubstr("ranks are in different operations: rank 0 in all_gather (validation, number 57 of lane control), rank 1 is in "));
    EXPECT_THAT(hang.text, HasSubstr(same_lane ? "broadcast (step report, number 57 of lane control)"
                                               : "all_to_all (exchange of bucket 0, number 120 of lane bulk 1)"));
  }
}

TEST(Hang, APeerThatIsBehindInTheSameOrderIsNotOutOfStep) {
  Records records = {waiting(0, "control", "validation", 57), waiting(1, "bulk 1", "exchange of bucket 0", 120)};
  records[0]->tracks[2].ended.push_back(event(Kind::task, "exchange of bucket 0", 120));  // own part of it is done
  EXPECT_FALSE(explain(stuck_in("validation", {1}), records, "control").out_of_step);
}

TEST(Hang, WhereAllHaveComeTheNetworkIsToBlame) {
  const std::string task = "exchange of bucket 2";
  const Records records = {waiting(0, "bulk 1", task, 41), waiting(1, "bulk 1", task, 41)};
  const Hang hang = explain(stuck_in(task, {1}), records);
  EXPECT_THAT(hang.missing, ElementsAre(1));
  EXPECT_THAT(hang.text, HasSubstr("nothing arrives from rank 1: look at the network"));
}

TEST(Hang, ADiskThatDoesNotAnswerIsNamedAlthoughMessagesPass) {
  Records records = {waiting(0, "background", "checkpoint: write", 90, "all_gather"),
                     waiting(1, "background", "checkpoint: write", 91, "all_gather")};
  records[1]->tracks.push_back({"disk", 0, {event(Kind::checkpoint, "write")}, {}});
  Stuck stuck = stuck_in("checkpoint: write", {1}, "write");
  stuck.messages_pass = true;
  const Hang hang = explain(stuck, records, "background");
  EXPECT_THAT(hang.arrived, ElementsAre(0));
  EXPECT_THAT(hang.missing, ElementsAre(1));
  EXPECT_THAT(hang.text, HasSubstr("checkpoint write for 61 s"));
}

TEST(Hang, ARankThatStoppedWhileItWaitedLikeTheOthersIsMissing) {
  const std::string task = "exchange of bucket 2";
  Records records = {waiting(0, "bulk 1", task, 41), waiting(1, "bulk 1", task, 41), waiting(2, "bulk 1", task, 41)};
  records[1]->beat_us = kNow_us - 60'000'000;
  const Hang hang = explain(stuck_in(task, {1}), records);
  EXPECT_THAT(hang.arrived, ElementsAre(0, 2));
  EXPECT_THAT(hang.missing, ElementsAre(1));
  EXPECT_THAT(hang.text, HasSubstr("waiting for exchange of bucket 2 for 61 s; its process"));
}

TEST(Hang, SilentProcessesAreToldFromLivingOnes) {
  std::optional<Snapshot> record = idle(1);
  record->host = "elsewhere";
  record->beat_us = kNow_us - 30'000'000;
  EXPECT_THAT(describe_rank(1, record, kNow_us), HasSubstr("has given no sign of life for 30 s"));
  record->host = log::host_name();
  record->process = 1 << 30;  // beyond any
  EXPECT_THAT(describe_rank(1, record, kNow_us), HasSubstr("is dead"));
}

TEST(Hang, TheMissingAreReadOffItsText) {
  const std::string task = "exchange of bucket 2";
  Records records = {waiting(0, "bulk 1", task, 41), idle(1), idle(2), waiting(3, "bulk 1", task, 41)};
  EXPECT_THAT(missing_ranks(explain(stuck_in(task, {1, 2}), records).text), ElementsAre(1, 2));
  EXPECT_THAT(missing_ranks("rank 0: " + explain(stuck_in(task, {1, 2}), records).text + ", met in barrier"), ElementsAre(1, 2));
  records = {waiting(0, "bulk 1", task, 41), waiting(1, "bulk 1", task, 41)};
  EXPECT_THAT(missing_ranks(explain(stuck_in(task, {1}), records).text), ElementsAre(1));  // nothing arrives from it
  EXPECT_THAT(missing_ranks(stuck_in(task, {12}).text()), ElementsAre(12));
  EXPECT_THAT(missing_ranks(stuck_in(task, {1, 12, 3}).text()), ElementsAre(1, 12, 3));
  records[1] = waiting(1, "control", "step report", 57, "broadcast");
  records[0] = waiting(0, "control", "validation", 57, "all_gather");
  EXPECT_THAT(missing_ranks(explain(stuck_in("validation", {1}, "all_gather"), records, "control").text), IsEmpty());  // out of step
  for (const char* other : {"", "lost rank 1: Socket closed", "three files; missing 2", "no progress for 3 s: rank 0 on h is at step 4",
                            "no progress for 3 s; missing ", "no message from rank x", "no message from ranks -1, 2"})
    EXPECT_THAT(missing_ranks(other), IsEmpty()) << other;
  EXPECT_THAT(missing_ranks("no progress for 3 s in x: arrived 0; missing 99999999999999999999"), IsEmpty());
}

TEST(Siblings, ThatCannotComeAreTold) {
  const std::vector<Sibling> all = {{0, 10, "thinwire", 'S'}, {1, 11, "sleep", 'S'}, {2, 12, "thinwire", 'T'}, {3, 13, "thinwire", 'R'}};
  EXPECT_EQ(describe_absent(all, 10, 4), "rank 1 (process 11, sleep) runs another program; rank 2 (process 12, thinwire) is stopped");
  EXPECT_EQ(describe_absent({all[0], all[3]}, 10, 2), "");
  EXPECT_THAT(describe_absent({all[0], all[3]}, 10, 4), HasSubstr("2 of 4 ranks are on other hosts"));
}

}  // namespace
}  // namespace thinwire::comm

#include "base/flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/flight_layout.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "base/trace.h"

namespace thinwire::flight {
namespace {

using testing::HasSubstr;

// This thread's record, for as long as it lives.
struct Recorded {
  explicit Recorded(size_t num_tracks = 2, std::string_view thread = "training") : recorder(std::make_shared<Recorder>(3, num_tracks)) {
    adopt(recorder, thread);
  }
  ~Recorded() { adopt(nullptr); }
  std::shared_ptr<Recorder> recorder;
};

std::vector<std::string> texts(const std::vector<Event>& events) {
  std::vector<std::string> all;
  for (const Event& event : events) all.push_back(event.text());
  return all;
}

TEST(Flight, ShowsWhatIsUnderWayOneWithinAnotherAndWhatHasEnded) {
  Recorded here;
  here.recorder->set_step(7);
  const int64_t before = now_us();
  Scope task(Kind::task, "exchange of bucket 2", 41);
  {
    Scope encode(Kind::encode, "model.norm.weight");
    Scope wire(Kind::wire, "all_gather", -1, 100, 5);
  }
  Scope decode(Kind::decode, "bucket", 2);
  const Snapshot snapshot = here.recorder->look();
  EXPECT_EQ(snapshot.rank, 3);
  EXPECT_EQ(snapshot.process, getpid());
  EXPECT_EQ(snapshot.host, log::host_name());
  const Track* const track = snapshot.track("training");
  ASSERT_NE(track, nullptr);
  EXPECT_EQ(track->thread_id, gettid());
  EXPECT_THAT(texts(track->open), testing::ElementsAre("task exchange of bucket 2", "decode bucket 2"));
  EXPECT_THAT(texts(track->ended), testing::ElementsAre("on the wire all_gather", "encode model.norm.weight"));
  EXPECT_EQ(track->open[0].number, 41);
  EXPECT_EQ(track->ended[0].bytes, 100u);
  EXPECT_EQ(track->ended[0].peer, 5);
  EXPECT_EQ(track->ended[0].step, 7);
  EXPECT_GE(track->ended[0].begin_us, before);
  EXPECT_GE(track->ended[0].end_us, track->ended[0].begin_us);
  EXPECT_EQ(track->open[1].end_us, 0);
}

TEST(Flight, RemembersTheLastThatEndedAndTheLastCharactersOfNames) {
  Recorded here;
  const std::string long_name = std::string(60, 'x') + ".weight";
  for (int i = 0; i < 1000; ++i) Scope(Kind::encode, long_name, i).end();
  const Snapshot snapshot = here.recorder->look();
  const auto& ended = snapshot.track("training")->ended;
  ASSERT_EQ(ended.size(), kEnded);
  EXPECT_EQ(ended.front().number, 1000 - static_cast<int64_t>(kEnded));
  EXPECT_EQ(ended.back().number, 999);
  EXPECT_EQ(ended.back().name, long_name.substr(long_name.size() - 47));
}

TEST(Flight, NotesNoDeeperThanItHasRoomAndFindsBackOut) {
  Recorded here;
  std::vector<std::unique_ptr<Scope>> scopes;
  for (size_t i = 0; i < kDepth + 5; ++i) scopes.push_back(std::make_unique<Scope>(Kind::compute, "level", static_cast<int64_t>(i)));
  EXPECT_EQ(here.recorder->look().track("training")->open.size(), kDepth);
  while (!scopes.empty()) scopes.pop_back();
  Scope next(Kind::data, "batch", 0);
  EXPECT_THAT(texts(here.recorder->look().track("training")->open), testing::ElementsAre("data batch 0"));
}

TEST(Flight, ThreadsHaveTracksOfTheirOwnAndLeaveThemToOthers) {
  Recorded here(2);
  for (int turn = 0; turn < 3; ++turn) {
    std::thread([&] {
      adopt(here.recorder, "saver");
      Scope(Kind::checkpoint, "save", turn).end();
    }).join();
  }
  EXPECT_EQ(here.recorder->look().track("saver")->ended.size(), 3u);
  std::thread([&] {
    adopt(here.recorder, "saver");
    std::thread([&] {
      adopt(here.recorder, "one too many");  // is not noted, and harms nobody
      Scope(Kind::checkpoint, "lost").end();
    }).join();
  }).join();
  EXPECT_EQ(here.recorder->look().track("one too many"), nullptr);
  Scope(Kind::compute, "nothing is adopted here").end();
}

TEST(Flight, SpansOfTheTraceAreNotedWithoutOne) {
  Recorded here;
  trace::Span span(trace::Lane::encode, "bucket", 4);
  span.moves(77);
  span.end();
  const auto ended = here.recorder->look().track("training")->ended;
  ASSERT_EQ(texts(ended), std::vector<std::string>{"encode bucket 4"});
  EXPECT_EQ(ended[0].bytes, 77u);
}

TEST(Flight, TakesNoMemoryOnceItIsThere) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  Recorded here;
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 10000; ++i) Scope(Kind::encode, "model.layers.3.mlp.up_proj.weight", i).end();
  EXPECT_EQ(mallinfo2().uordblks, before);
#endif
}

TEST(Flight, IsReadFromOutsideWhileItIsWritten) {
  Recorded here;
  ASSERT_FALSE(here.recorder->live_path().empty());
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    adopt(here.recorder, "control");
    while (!stop) {
      Scope outer(Kind::task, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1);
      Scope inner(Kind::wire, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 2);
      std::this_thread::sleep_for(std::chrono::microseconds(1));  // what changes while it is read is left out: all of it, at full speed
    }
  });
  size_t seen = 0;
  for (const Stopwatch watch; seen < 10'000 && watch.seconds() < 60;) {
    for (const Snapshot& snapshot : {read(here.recorder->live_path()), here.recorder->look()}) {
      const Track* const track = snapshot.track("control");
      if (track == nullptr) continue;
      for (const auto& events : {track->open, track->ended}) {
        for (const Event& event : events) {
          ++seen;
          EXPECT_EQ(event.name, std::string(40, event.kind == Kind::task ? 'a' : 'b'));
          EXPECT_EQ(event.number, event.kind == Kind::task ? 1 : 2);
        }
      }
    }
  }
  stop = true;
  writer.join();
  EXPECT_GE(seen, 10'000u);
}

TEST(Flight, SaysWhatKeepsARankFromGoingOn) {
  Snapshot snapshot;
  snapshot.tracks.resize(3);
  snapshot.tracks[0].thread = "training";
  EXPECT_EQ(doing(snapshot, 10'000'000), "nothing yet");
  snapshot.tracks[0].ended.push_back({.kind = Kind::optimizer, .name = "step", .number = 4, .begin_us = 1'000'000, .end_us = 2'000'000});
  EXPECT_EQ(doing(snapshot, 10'000'000), "nothing since optimizer step 4 ended 8 s ago");
  snapshot.tracks[0].open.push_back({.kind = Kind::wait, .name = "exchange of bucket 2", .begin_us = 3'000'000});
  EXPECT_EQ(doing(snapshot, 10'000'000), "waiting for exchange of bucket 2 for 7 s");
  snapshot.tracks[1].thread = "bulk 1";
  snapshot.tracks[1].open.push_back({.kind = Kind::task, .name = "exchange of bucket 2", .begin_us = 4'000'000});
  snapshot.tracks[1].open.push_back({.kind = Kind::wire, .name = "all_gather", .begin_us = 5'000'000});
  EXPECT_EQ(doing(snapshot, 10'000'000), "waiting for exchange of bucket 2 for 7 s") << "the wire waits for others";
  snapshot.tracks[1].open.back() = {.kind = Kind::encode, .name = "model.norm.weight", .begin_us = 5'000'000};
  EXPECT_EQ(doing(snapshot, 10'000'000), "encode model.norm.weight for 5 s");
  snapshot.tracks[2].thread = "disk";
  snapshot.tracks[2].open.push_back({.kind = Kind::checkpoint, .name = "write", .begin_us = 6'000'000});
  EXPECT_EQ(doing(snapshot, 10'000'000, "disk"), "checkpoint write for 4 s");
}

TEST(FlightRecord, OfForeignBytesIsRefusedOrHarmless) {
  Recorded here;
  Scope open(Kind::task, "exchange", 3);
  Scope(Kind::wire, "all_gather", 4).end();
  const auto whole = here.recorder->bytes();
  EXPECT_NO_THROW(parse(whole, "x"));
  for (const size_t cut : {size_t{0}, size_t{7}, size_t{8}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    EXPECT_THROW(parse(ConstBytes(whole).first(cut), "x"), CorruptData) << cut;
  }
  for (size_t word = 0; word < layout::words_of(1); ++word) {
    for (const uint64_t value : {uint64_t{0}, ~uint64_t{0}, uint64_t{1} << 63, uint64_t{INT64_MAX}, uint64_t{0x0a1b'5b33'316d'0a07}}) {
      auto changed = whole;
      std::memcpy(changed.data() + word * sizeof value, &value, sizeof value);
      try {
        const std::string text = parse(changed, "x").text(now_us());
        EXPECT_EQ(text.find('\x1b'), std::string::npos) << word;
      } catch (const CorruptData&) {
      }
    }
  }
  EXPECT_THROW(read("/no/such/record"), CorruptData);
}

}  // namespace
}  // namespace thinwire::flight

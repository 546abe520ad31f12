#include "tools/netlab/line.h"

#include <gmock/gmock.h>

#include <cmath>

namespace thinwire::netlab {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;

constexpr Time kStart{};

LineOptions wire(double bits_per_s, std::chrono::nanoseconds delay = 0ns, int64_t queue_bytes = 1'000'000) {
  LineOptions options;
  options.bits_per_s = bits_per_s;
  options.delay = delay;
  options.queue_bytes = queue_bytes;
  return options;
}

std::vector<std::chrono::microseconds> arrivals(Line& line) {
  std::vector<std::chrono::microseconds> times;
  while (const auto arrival = line.take(Time::max()))
    times.push_back(std::chrono::duration_cast<std::chrono::microseconds>(arrival->at - kStart));
  return times;
}

TEST(Line, PacketsFollowEachOtherAtTheRateAndComeOutADelayLater) {
  Line line(wire(8e6, 10ms), Draw(1));  // a byte a microsecond
  for (const size_t num_bytes : {1000, 500, 250}) EXPECT_EQ(line.offer(Packet(num_bytes), kStart), Line::Fate::sent);
  line.offer(Packet(100), kStart + 5ms);  // the wire has been free for a while
  EXPECT_THAT(arrivals(line), ElementsAre(11'000us, 11'500us, 11'750us, 15'100us));
}

TEST(Line, WithoutARateOnlyTheDelayIsLeft) {
  LineOptions options;
  options.delay = 3ms;
  Line line(options, Draw(1));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(line.offer(Packet(65'000), kStart + i * 1us), Line::Fate::sent);
  EXPECT_THAT(arrivals(line), ElementsAre(3000us, 3001us, 3002us));
}

TEST(Line, NothingIsTakenBeforeItsTime) {
  Line line(wire(8e6, 1ms), Draw(1));
  EXPECT_EQ(line.next(), std::nullopt);
  line.offer(Packet(100), kStart);
  EXPECT_EQ(line.next(), kStart + 1100us);
  EXPECT_FALSE(line.take(kStart + 1099us));
  EXPECT_TRUE(line.take(kStart + 1100us));
  EXPECT_FALSE(line.take(kStart + 1h));
}

TEST(Line, AFullQueueDropsAtItsTailAndHasRoomAsSoonAsAPacketHasLeft) {
  Line line(wire(8e6, 10ms, 2000), Draw(1));
  EXPECT_EQ(line.offer(Packet(1000), kStart), Line::Fate::sent);
  EXPECT_EQ(line.offer(Packet(1000), kStart), Line::Fate::sent);
  EXPECT_EQ(line.offer(Packet(1), kStart), Line::Fate::queue_full);
  EXPECT_EQ(line.offer(Packet(1000), kStart + 999us), Line::Fate::queue_full);
  EXPECT_EQ(line.offer(Packet(1000), kStart + 1000us), Line::Fate::sent);  // what is on its way, after the wire, waits for nothing
  EXPECT_THAT(arrivals(line), ElementsAre(11'000us, 12'000us, 13'000us));
}

TEST(Line, AFreeWireTakesAPacketThatNoQueueCouldHold) {
  Line line(wire(8e6, 0ms, 100), Draw(1));
  EXPECT_EQ(line.offer(Packet(1500), kStart), Line::Fate::sent);
  EXPECT_EQ(line.offer(Packet(1500), kStart + 1ms), Line::Fate::queue_full);
  EXPECT_EQ(line.offer(Packet(1500), kStart + 1500us), Line::Fate::sent);
}

TEST(Line, WhatStreamsInLeavesAFreeWireAtOnceAndABusyOneInTurn) {
  LineOptions options = wire(8e6);
  options.entry = Entry::streaming;
  Line line(options, Draw(1));
  line.offer(Packet(1000), kStart + 1000us);
  line.offer(Packet(1000), kStart + 1000us);  // from another host at the same time
  line.offer(Packet(1000), kStart + 2000us);
  line.offer(Packet(1000), kStart + 9000us);
  EXPECT_THAT(arrivals(line), ElementsAre(1000us, 2000us, 3000us, 9000us));
}

// Binomial: five standard deviations.
TEST(Line, LosesTheShareThatWasAskedForAndTheLostHaveOccupiedTheWire) {
  constexpr int kPackets = 20'000;
  constexpr double kLoss = 0.03;
  LineOptions options = wire(8e9, 0ns, int64_t{1} << 40);
  options.loss = kLoss;
  Line line(options, Draw(7));
  int lost = 0;
  for (int i = 0; i < kPackets; ++i) lost += line.offer(Packet(1000), kStart) == Line::Fate::lost ? 1 : 0;
  EXPECT_NEAR(lost, kPackets * kLoss, 5 * std::sqrt(kPackets * kLoss * (1 - kLoss)));
  const auto times = arrivals(line);
  EXPECT_EQ(times.size(), static_cast<size_t>(kPackets - lost));
  EXPECT_GE(times.back(), (kPackets - 10) * 1us);
}

TEST(Line, LosesTheSamePacketsUnderTheSameDrawAndOthersUnderAnother) {
  LineOptions options;
  options.loss = 0.5;
  const auto fates = [&](uint64_t seed) {
    Line line(options, Draw(seed));
    std::vector<Line::Fate> result;
    for (int i = 0; i < 100; ++i) result.push_back(line.offer(Packet(1), kStart));
    return result;
  };
  EXPECT_EQ(fates(1), fates(1));
  EXPECT_NE(fates(1), fates(2));
}

TEST(Line, CanLoseNothingAndEverything) {
  for (const double loss : {0.0, 1.0}) {
    LineOptions options;
    options.loss = loss;
    Line line(options, Draw(1));
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(line.offer(Packet(1), kStart), loss == 0 ? Line::Fate::sent : Line::Fate::lost);
  }
}

}  // namespace
}  // namespace thinwire::netlab

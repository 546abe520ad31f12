// The switch in virtual time, between sockets instead of TUN devices.
#include "tools/netlab/switch.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"

namespace thinwire::netlab {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Time kBegin{};

class SwitchTest : public testing::Test {
 protected:
  Switch& start(int num_hosts, const LineOptions& wire, std::vector<Cut> cuts = {}, Segmentation segmentation = Segmentation::none) {
    for (int i = 0; i < num_hosts; ++i) {
      int ends[2];
      check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0, "a pair of sockets");
      hosts_.push_back({"host", "", Descriptor(), Descriptor(ends[0])});
      inside_.emplace_back(ends[1]);
    }
    return switch_.emplace(hosts_, segmentation, wire, 1, cuts, kBegin);
  }

  // An IPv4 packet whose last byte is `mark`, for the host with this number.
  void send(size_t from, int to, int mark, Time now, size_t num_bytes = 100) {
    Packet packet(num_bytes);
    packet[0] = std::byte{0x45};
    packet[16] = std::byte{10};
    packet[19] = std::byte(to + 1);
    packet.back() = std::byte(mark);
    check(write(inside_[from].get(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size()), "a packet is written");
    switch_->receive(from, now);
  }

  std::vector<int> marks_at(size_t host, Time now) {  // of what it has got by now
    switch_->forward(now);
    std::vector<int> marks;
    Packet packet(2000);
    for (ssize_t n; (n = read(inside_[host].get(), packet.data(), packet.size())) > 0;)
      marks.push_back(std::to_integer<int>(packet[n - 1]));
    return marks;
  }

  std::vector<Host> hosts_;
  std::vector<Descriptor> inside_;
  std::optional<Switch> switch_;
};

LineOptions microsecond_a_byte(std::chrono::nanoseconds delay = 0ns, int64_t queue_bytes = 100'000) {
  LineOptions wire;
  wire.bits_per_s = 8e6;
  wire.delay = delay;
  wire.queue_bytes = queue_bytes;
  return wire;
}

TEST_F(SwitchTest, APacketReachesItsHostAloneAtItsTime) {
  start(3, microsecond_a_byte(10ms));
  send(0, 2, 42, kBegin);
  EXPECT_THAT(marks_at(2, kBegin + 10'099us), IsEmpty());
  EXPECT_EQ(switch_->next(), kBegin + 10'100us);
  EXPECT_THAT(marks_at(2, kBegin + 10'100us), ElementsAre(42));
  EXPECT_THAT(marks_at(1, kBegin + 1s), IsEmpty());
  EXPECT_EQ(switch_->next(), std::nullopt);
}

TEST_F(SwitchTest, DirectionsDoNotShareTheRate) {
  start(2, microsecond_a_byte());
  for (int i = 0; i < 10; ++i) {
    send(0, 1, i, kBegin);
    send(1, 0, i, kBegin);
  }
  EXPECT_EQ(marks_at(0, kBegin + 1000us).size(), 10u);
  EXPECT_EQ(marks_at(1, kBegin + 1000us).size(), 10u);
}

TEST_F(SwitchTest, HostsThatSendToOneShareWhatLeadsToIt) {
  start(3, microsecond_a_byte());
  for (int i = 0; i < 5; ++i) {
    send(0, 2, 10 + i, kBegin);
    send(1, 2, 20 + i, kBegin);
  }
  EXPECT_EQ(marks_at(2, kBegin + 500us).size(), 5u);
  EXPECT_EQ(marks_at(2, kBegin + 999us).size(), 4u);
  EXPECT_EQ(marks_at(2, kBegin + 1000us).size(), 1u);
}

TEST_F(SwitchTest, PacketsOfDifferentHostsComeInTheOrderInWhichTheyReachTheSwitch) {
  start(3, microsecond_a_byte(1ms));
  for (int i = 0; i < 3; ++i) send(0, 2, 10 + i, kBegin);  // out at 1100, 1200, 1300 us
  send(1, 2, 20, kBegin + 50us);                           // out at 1150 us, and waits for the first
  EXPECT_THAT(marks_at(2, kBegin + 1s), ElementsAre(10, 20, 11, 12));
}

TEST_F(SwitchTest, ALateCallDoesNotMakeTheWireSlower) {
  start(2, microsecond_a_byte());
  for (int i = 0; i < 10; ++i) send(0, 1, i, kBegin);
  EXPECT_EQ(marks_at(1, kBegin + 750us).size(), 7u);  // the first call of all
}

// 3,000 bytes of TCP in segments of 1,448 are three packets, each with 20 bytes of IPv4's header and 32 of TCP's.
TEST_F(SwitchTest, SegmentsThatComeTogetherTakeTheTimeOfEach) {
  constexpr size_t kHeaderBytes = 20 + 32, kPayloadBytes = 3000, kOnWireBytes = kPayloadBytes + 3 * kHeaderBytes;
  start(2, microsecond_a_byte(), {}, Segmentation::offloaded);
  Packet packet(kOffloadHeaderBytes + kHeaderBytes + kPayloadBytes);
  const uint16_t segment_bytes = 1448;
  std::memcpy(packet.data() + 4, &segment_bytes, sizeof segment_bytes);  // gso_size of struct virtio_net_hdr
  const std::span ip = std::span(packet).subspan(kOffloadHeaderBytes);
  ip[0] = std::byte{0x45};
  ip[16] = std::byte{10};
  ip[19] = std::byte{2};
  ip[20 + 12] = std::byte{0x80};  // eight words of TCP's header
  check(write(inside_[0].get(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size()), "a packet is written");
  switch_->receive(0, kBegin);

  EXPECT_EQ(switch_->next(), kBegin + std::chrono::microseconds(kOnWireBytes));
  EXPECT_EQ(switch_->counters(0).packets, 3);
  EXPECT_EQ(switch_->counters(0).bytes, kOnWireBytes);
  switch_->forward(kBegin + 1s);
  Packet received(packet.size());
  EXPECT_EQ(read(inside_[1].get(), received.data(), received.size()), static_cast<ssize_t>(packet.size()));
  EXPECT_EQ(received, packet);  // to be cut by the host that it reaches
}

// A packet alone has the header of offloading too, which is not on the wire.
TEST_F(SwitchTest, WhatPrecedesAPacketIsNotOnTheWire) {
  Packet packet(kOffloadHeaderBytes + 100);
  packet[kOffloadHeaderBytes] = std::byte{0x45};
  EXPECT_EQ(on_wire(packet, Segmentation::offloaded).bytes, 100u);
  EXPECT_EQ(on_wire(packet, Segmentation::none).bytes, packet.size());
}

TEST_F(SwitchTest, ACutHostNeitherSendsNorReceivesUntilItIsOver) {
  start(3, LineOptions{}, {Cut{1, 1.0, 0.5}});
  const auto send_all = [&](int mark, Time now) {
    send(0, 1, mark, now);
    send(1, 0, mark, now);
    send(0, 2, mark, now);
    return std::vector{marks_at(0, now).size(), marks_at(1, now).size(), marks_at(2, now).size()};
  };
  EXPECT_THAT(send_all(1, kBegin + 999ms), ElementsAre(1, 1, 1));
  EXPECT_THAT(send_all(2, kBegin + 1000ms), ElementsAre(0, 0, 1));
  EXPECT_THAT(send_all(3, kBegin + 1499ms), ElementsAre(0, 0, 1));
  EXPECT_THAT(send_all(4, kBegin + 1500ms), ElementsAre(1, 1, 1));
  EXPECT_EQ(switch_->counters(0).cut, 2);
  EXPECT_EQ(switch_->counters(1).cut, 2);
}

TEST_F(SwitchTest, CountsWhatHostsSendAndWhatBecomesOfIt) {
  start(2, microsecond_a_byte(0ns, 250));
  for (int i = 0; i < 5; ++i) send(0, 1, i, kBegin);
  EXPECT_THAT(marks_at(1, kBegin + 1s), ElementsAre(0, 1));
  const auto& counters = switch_->counters(0);
  EXPECT_EQ(counters.packets, 5);
  EXPECT_EQ(counters.bytes, 500);
  EXPECT_EQ(counters.overran, 3);
  EXPECT_EQ(switch_->counters(1).packets, 0);
}

TEST_F(SwitchTest, WhatGoesToNoHostIsDropped) {
  start(2, LineOptions{});
  send(0, 7, 1, kBegin);
  send(0, 254, 1, kBegin);  // to all
  Packet six(48);
  six[0] = std::byte{0x60};
  check(write(inside_[0].get(), six.data(), six.size()) == 48, "an IPv6 packet is written");
  check(write(inside_[0].get(), six.data(), 1) == 1, "a stump is written");
  switch_->receive(0, kBegin);
  EXPECT_EQ(switch_->next(), std::nullopt);
  EXPECT_EQ(switch_->counters(0).packets, 0);
}

}  // namespace
}  // namespace thinwire::netlab

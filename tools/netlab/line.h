// One direction of a wire, in virtual time: packets queue, are put on the wire one after the other at its rate, and come out a delay
// later, in order, but for those that get lost.
//
// A packet that is n bytes on the wire occupies it for 8 n / rate. Of those that wait for it (the one on the wire included) at most queue_bytes are
// kept; what finds the queue full is dropped at its tail. A packet that gets lost has occupied the wire before. Each packet is lost with
// the same probability, independently; the draws are a function of `draw` and the number of the packet.
//
// The clock is the caller's: times handed in must not decrease. One thread.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/draw.h"

namespace thinwire::netlab {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Packet = std::vector<std::byte>;

// When a packet may be put on the wire: when all of it is there, or while it still comes in (at the same rate), so that on a free wire it
// has left at the moment at which it is all there.
enum class Entry { whole, streaming };

struct LineOptions {
  std::optional<double> bits_per_s;  // none: as fast as the machine
  std::chrono::nanoseconds delay{0};
  double loss = 0;          // probability, [0, 1]
  int64_t queue_bytes = 0;  // without a rate nothing waits. A packet that finds the wire free passes, however small this is
  Entry entry = Entry::whole;
};

class Line {
 public:
  Line(const LineOptions& options, Draw draw) : options_(options), draw_(draw) {}

  enum class Fate { sent, lost, queue_full };
  Fate offer(Packet packet, size_t wire_bytes, Time now);
  Fate offer(Packet packet, Time now) {  // all of it goes on the wire
    const size_t wire_bytes = packet.size();
    return offer(std::move(packet), wire_bytes, now);
  }

  struct Arrival {
    Time at;
    Packet packet;
  };
  std::optional<Time> next() const;       // when the next packet comes out
  std::optional<Arrival> take(Time now);  // the next one that is out by now

 private:
  std::chrono::nanoseconds time_on_wire(size_t num_bytes) const;
  double waiting_bytes(Time now) const;

  LineOptions options_;
  Draw draw_;
  uint64_t num_packets_ = 0;  // that were put on the wire
  Time free_at_{};            // when the last of them has left it
  std::deque<Arrival> under_way_;
};

}  // namespace thinwire::netlab

// The wires between the hosts: each host has one line to the switch and one from it (full duplex), and the switch hands a packet on while
// it still comes in.
//
// Delay and loss belong to the way to the switch, so a packet meets each once; the rate and its queue to both, as two hosts that send to a
// third share what leads to it. What goes to no host (IPv6, broadcasts) is dropped and counted nowhere.
//
// One thread: receive() when a host's descriptor is readable, forward() at next() or later.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tools/netlab/hosts.h"
#include "tools/netlab/line.h"
#include "tools/netlab/units.h"

namespace thinwire::netlab {

class Switch {
 public:
  // Of one host, as packets are on the wire; bytes are those of IP packets.
  struct Counters {
    int64_t packets = 0, bytes = 0;          // that it handed to its wire
    int64_t lost = 0, overran = 0, cut = 0;  // packets that did not reach their host: by chance, at a full queue, at a cut
  };

  // The hosts outlive the switch. Cuts count from `start`.
  Switch(std::span<const Host> hosts, Segmentation segmentation, const LineOptions& wire, uint64_t seed, std::span<const Cut> cuts,
         Time start);

  void receive(size_t host, Time now);
  void forward(Time now);
  std::optional<Time> next() const;
  const Counters& counters(size_t host) const { return ports_[host].counters; }

 private:
  struct Port {
    int packets_fd;
    Line from_host, to_host;
    Counters counters;
  };
  Port* first_due(Time now);
  void pass(size_t from, Line::Arrival arrival);
  void deliver(size_t to, Time now);
  bool is_cut(size_t host, Time now) const;

  struct Span {
    size_t host;
    Time begin, end;
  };
  Segmentation segmentation_;
  size_t header_bytes_;  // before the IP packet
  std::vector<Port> ports_;
  std::vector<Span> cuts_;
  std::vector<std::byte> read_buffer_;
};

}  // namespace thinwire::netlab

#include "tools/netlab/switch.h"

#include <unistd.h>

#include <algorithm>

namespace thinwire::netlab {

namespace {
constexpr size_t kMaxPacketBytes = 65'536;
constexpr int kPacketsAtOnce = 64;  // before another host has its turn

std::chrono::nanoseconds seconds(double s) { return std::chrono::nanoseconds(static_cast<int64_t>(s * 1e9)); }

LineOptions from_switch(const LineOptions& to_switch) {
  LineOptions options;
  options.bits_per_s = to_switch.bits_per_s;
  options.queue_bytes = to_switch.queue_bytes;
  options.entry = Entry::streaming;
  return options;
}
}  // namespace

Switch::Switch(std::span<const Host> hosts, Segmentation segmentation, const LineOptions& wire, uint64_t seed, std::span<const Cut> cuts,
               Time start)
    : segmentation_(segmentation),
      header_bytes_(segmentation == Segmentation::offloaded ? kOffloadHeaderBytes : 0),
      read_buffer_(header_bytes_ + kMaxPacketBytes) {
  const Draw draw = Draw(seed).fork("loss");
  for (size_t i = 0; i < hosts.size(); ++i) {
    ports_.push_back({hosts[i].packets.get(), Line(wire, draw.fork(i)), Line(from_switch(wire), draw), {}});
  }
  for (const Cut& cut : cuts) {
    const Time begin = start + seconds(cut.at_s);
    cuts_.push_back({static_cast<size_t>(cut.host), begin, begin + seconds(cut.for_s)});
  }
}

bool Switch::is_cut(size_t host, Time now) const {
  return std::any_of(cuts_.begin(), cuts_.end(), [&](const Span& cut) { return cut.host == host && cut.begin <= now && now < cut.end; });
}

void Switch::receive(size_t host, Time now) {
  Port& port = ports_[host];
  for (int i = 0; i < kPacketsAtOnce; ++i) {
    const ssize_t read_bytes = read(port.packets_fd, read_buffer_.data(), read_buffer_.size());
    if (read_bytes <= static_cast<ssize_t>(header_bytes_)) return;
    const size_t num_bytes = static_cast<size_t>(read_bytes) - header_bytes_;
    if (host_of_packet(read_buffer_.data() + header_bytes_, num_bytes, ports_.size()) < 0) continue;
    const auto packet = std::span(read_buffer_).first(static_cast<size_t>(read_bytes));
    const OnWire wire = on_wire(packet, segmentation_);
    const auto segments = static_cast<int64_t>(wire.segments);
    port.counters.packets += segments;
    port.counters.bytes += static_cast<int64_t>(wire.bytes);
    if (is_cut(host, now)) {
      port.counters.cut += segments;
      continue;
    }
    const auto fate = port.from_host.offer(Packet(packet.begin(), packet.end()), wire.bytes, now);
    if (fate == Line::Fate::lost) port.counters.lost += segments;
    if (fate == Line::Fate::queue_full) port.counters.overran += segments;
  }
}

// In the order of arrival at the switch, whichever host they come from: that is the order in which the next wire carries them.
Switch::Port* Switch::first_due(Time now) {
  Port* first = nullptr;
  for (Port& port : ports_) {
    const auto at = port.from_host.next();
    if (at && *at <= now && (!first || *at < *first->from_host.next())) first = &port;
  }
  return first;
}

void Switch::forward(Time now) {
  while (Port* port = first_due(now)) pass(static_cast<size_t>(port - ports_.data()), *port->from_host.take(now));
  for (size_t i = 0; i < ports_.size(); ++i) deliver(i, now);
}

// At the time at which it arrived, not at which we came to it: a late wake-up must not make the wire slower.
void Switch::pass(size_t from, Line::Arrival arrival) {
  const Packet& packet = arrival.packet;
  const auto to = static_cast<size_t>(host_of_packet(packet.data() + header_bytes_, packet.size() - header_bytes_, ports_.size()));
  const OnWire wire = on_wire(packet, segmentation_);
  Counters& counters = ports_[from].counters;
  if (is_cut(to, arrival.at)) {
    counters.cut += static_cast<int64_t>(wire.segments);
  } else if (ports_[to].to_host.offer(std::move(arrival.packet), wire.bytes, arrival.at) == Line::Fate::queue_full) {
    counters.overran += static_cast<int64_t>(wire.segments);
  }
}

void Switch::deliver(size_t to, Time now) {
  Port& port = ports_[to];
  while (const auto arrival = port.to_host.take(now)) {
    // A host whose memory is full loses what comes, as any host does.
    [[maybe_unused]] const ssize_t written = write(port.packets_fd, arrival->packet.data(), arrival->packet.size());
  }
}

std::optional<Time> Switch::next() const {
  std::optional<Time> next;
  for (const Port& port : ports_) {
    for (const Line* line : {&port.from_host, &port.to_host}) {
      const auto at = line->next();
      if (at && (!next || *at < *next)) next = at;
    }
  }
  return next;
}

}  // namespace thinwire::netlab

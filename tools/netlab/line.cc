#include "tools/netlab/line.h"

#include <algorithm>
#include <cmath>

namespace thinwire::netlab {

using std::chrono::nanoseconds;

nanoseconds Line::time_on_wire(size_t num_bytes) const {
  if (!options_.bits_per_s) return nanoseconds(0);
  return nanoseconds(std::llround(8e9 * static_cast<double>(num_bytes) / *options_.bits_per_s));
}

double Line::waiting_bytes(Time now) const {
  if (!options_.bits_per_s || free_at_ <= now) return 0;
  return std::chrono::duration<double>(free_at_ - now).count() * *options_.bits_per_s / 8;
}

Line::Fate Line::offer(Packet packet, size_t wire_bytes, Time now) {
  const double waiting = waiting_bytes(now);
  if (waiting > 0 && waiting + static_cast<double>(wire_bytes) > static_cast<double>(options_.queue_bytes)) return Fate::queue_full;
  const auto on_wire = time_on_wire(wire_bytes);
  free_at_ = options_.entry == Entry::whole ? std::max(free_at_, now) + on_wire : std::max(free_at_ + on_wire, now);
  if (draw_.uniform(num_packets_++) < options_.loss) return Fate::lost;
  under_way_.push_back({free_at_ + options_.delay, std::move(packet)});
  return Fate::sent;
}

std::optional<Time> Line::next() const {
  if (under_way_.empty()) return std::nullopt;
  return under_way_.front().at;
}

std::optional<Line::Arrival> Line::take(Time now) {
  if (under_way_.empty() || under_way_.front().at > now) return std::nullopt;
  Arrival arrival = std::move(under_way_.front());
  under_way_.pop_front();
  return arrival;
}

}  // namespace thinwire::netlab

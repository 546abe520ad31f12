#include "estimate/time.h"

#include <algorithm>

namespace thinwire::estimate {

namespace {

constexpr double kBackwardShare = 2.0 / 3;  // of a pass: two products for one
constexpr double kPlainBucketBytes = 25e6;  // of PyTorch's DistributedDataParallel

// Bytes that leave a host when each of its ranks sends so many to all others alike.
double leaving_bytes(const Subject& s, double sent_bytes) {
  const int on_host = s.ranks_per_host;
  return sent_bytes * on_host * (s.ranks - on_host) / (s.ranks - 1);
}

double round_wire_s(const Subject& s, const exchange::Traffic& traffic, const Link& link) {
  if (!s.crosses_links()) return 0;
  const double bytes = s.peers().on_host > 1 ? traffic.between_bytes : leaving_bytes(s, traffic.sent_bytes);
  return bytes * 8 / link.bits_per_s + traffic.waits * link.latency_s;
}

double compute_s(const Subject& s, const Speed& speed) { return static_cast<double>(s.micro_batches) * speed.pass_s + speed.optimizer_s; }

double exposed_beside_backward(double round_s, double buckets, const Speed& speed) {
  return std::max(round_s / std::max(1.0, buckets), round_s - kBackwardShare * speed.pass_s);
}

}  // namespace

StepTime step_time(const Subject& s, const Wire& wire, const Speed& speed, const Link& link) {
  StepTime time;
  time.compute_s = compute_s(s, speed);
  const double round_s = round_wire_s(s, wire.round.compressed, link), whole_s = round_s + speed.codec_s;
  const auto every = static_cast<double>(wire.steps_per_round);
  time.wire_s = round_s / every;
  if (s.ranks == 1) return time;
  if (s.exchanges_drifts()) {
    const auto fragments = static_cast<double>(s.table.num_fragments());
    const double hidden_s = static_cast<double>(s.exchange.delay) * time.compute_s;
    time.exposed_s = std::max(0.0, whole_s / fragments - hidden_s) * fragments / every;
  } else {
    time.exposed_s = s.exchange.overlap ? exposed_beside_backward(whole_s, static_cast<double>(s.table.buckets().size()), speed) : whole_s;
  }
  return time;
}

StepTime plain_step_time(const Subject& s, const Wire& wire, const Speed& speed, const Link& link) {
  StepTime time;
  time.compute_s = compute_s(s, speed);
  if (s.ranks == 1) return time;
  // A ring passes from host to host in one place of each.
  time.wire_s = s.crosses_links() ? wire.dense_step_bytes * 8 / link.bits_per_s + 2 * (s.ranks - 1) * link.latency_s : 0;
  time.exposed_s = exposed_beside_backward(time.wire_s, 4 * s.parameters() / kPlainBucketBytes, speed);
  return time;
}

}  // namespace thinwire::estimate

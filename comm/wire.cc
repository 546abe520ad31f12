#include "comm/wire.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/check.h"
#include "base/trace.h"

namespace thinwire::comm {

namespace {
// Tells a BusyTime of its own lifetime.
class InUse {
 public:
  explicit InUse(BusyTime* busy) : busy_(busy) {
    if (busy_ != nullptr) busy_->begin();
  }
  ~InUse() {
    if (busy_ != nullptr) busy_->end();
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  BusyTime* busy_;
};

// Short waits stay short; long ones leave the core to the training thread and to the other ranks of this machine.
//
// A transport may move a long message only while it is polled, a piece each time: Open MPI keeps three fragments under way, which are 96 kB
// in shared memory and 384 kB over TCP. So all the sleeps of a message together, not each, are kept to a sixteenth of what has been waited,
// as far as 20 us a piece allow; and none is above 2 ms.
class Backoff {
 public:
  explicit Backoff(size_t message_bytes) : pieces_(1 + static_cast<double>(message_bytes / kPieceBytes)) {}
  void reset() {
    yields_left_ = kYields;
    waited_ = {};
  }
  void pause() {
    if (yields_left_ > 0) {
      --yields_left_;
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(std::clamp(Seconds(waited_.seconds() / 16 / pieces_), kLeast, kMost));
  }

 private:
  using Seconds = std::chrono::duration<double>;
  static constexpr Seconds kLeast{20e-6}, kMost{2e-3};
  static constexpr size_t kPieceBytes = 96 * 1024;
  static constexpr int kYields = 50;
  const double pieces_;
  int yields_left_ = kYields;
  Stopwatch waited_;
};

// -1: several.
int64_t the_peer_of(const Channel& channel, std::span<const Op> ops) {
  const bool is_one = std::all_of(ops.begin(), ops.end(), [&](const Op& op) { return op.peer == ops.front().peer; });
  return is_one ? channel.member(ops.front().peer) : -1;
}
}  // namespace

void BusyTime::begin() {
  const std::lock_guard lock(mutex_);
  if (wires_++ == 0) since_ = {};
}

void BusyTime::end() {
  const std::lock_guard lock(mutex_);
  if (--wires_ == 0) total_s_ += since_.seconds();
}

double BusyTime::seconds() const {
  const std::lock_guard lock(mutex_);
  return total_s_ + (wires_ > 0 ? since_.seconds() : 0);
}

Wire::Wire(Wire& parent, std::vector<int> members)
    : channel_(parent.channel_), parent_(&parent), members_(std::move(members)), patience_(parent.patience_) {
  const auto own = std::find(members_.begin(), members_.end(), parent.rank());
  check(own != members_.end() && std::is_sorted(members_.begin(), members_.end()), "this rank is a member of the subset");
  own_index_ = static_cast<int>(own - members_.begin());
}

void Wire::run(std::span<Op> ops, std::string_view what) {
  if (ops.empty()) return;
  if (parent_ != nullptr) {
    for (Op& op : ops) op.peer = members_[static_cast<size_t>(op.peer)];
    parent_->run(ops, what);
    for (Op& op : ops) op.peer = static_cast<int>(std::lower_bound(members_.begin(), members_.end(), op.peer) - members_.begin());
    return;
  }
  const TimeInto busy(counters_.busy_s);
  const InUse in_use(shared_);
  uint64_t sent_bytes = 0, received_bytes = 0;
  size_t longest_bytes = 0;
  for (const Op& op : ops) {
    if (op.kind == Op::Kind::send) sent_bytes += op.buffer.bytes;
    longest_bytes = std::max(longest_bytes, op.buffer.bytes);
  }
  counters_.sent_bytes += sent_bytes;
  flight::Scope noted(flight::Kind::wire, what, -1, sent_bytes, the_peer_of(channel_, ops));
  trace::Span transmits(trace::Lane::wire_tx, what), receives(trace::Lane::wire_rx, what);
  wait(channel_.post(ops), longest_bytes, what);
  for (const Op& op : ops) {
    if (op.kind == Op::Kind::recv) received_bytes += op.received;
  }
  counters_.received_bytes += received_bytes;
  transmits.moves(sent_bytes);
  receives.moves(received_bytes);
}

void Wire::wait(Ticket ticket, size_t longest_bytes, std::string_view what) {
  constexpr double kMostAtOnce_s = 1;  // a process that was stopped for a while must not blame the others for it
  Backoff backoff(longest_bytes);
  Stopwatch since_poll;
  double waited_s = 0;
  uint64_t seen = 0;
  for (;;) {
    const Status status = channel_.poll(ticket);
    if (status.state == Status::State::done) return;
    if (status.state == Status::State::failed) fail(status.why + ", met", what, status.code);
    waited_s += std::min(since_poll.seconds(), kMostAtOnce_s);
    since_poll = {};
    if (status.progress != seen) {
      seen = status.progress;
      waited_s = 0;
      backoff.reset();
    } else if (const double timeout_s = patience_->timeout_s(); waited_s > timeout_s) {
      give_up_on({std::string(what), purpose(), {}, timeout_s}, channel_.waiting_for(ticket));
    }
    backoff.pause();
  }
}

void Wire::fail(const std::string& why, std::string_view what, ExitCode code) {
  if (parent_ != nullptr) parent_->fail(why, what, code);
  const std::string message = fmt::format("{} in {}{}", why, what, purpose().empty() ? "" : fmt::format(" ({})", purpose()));
  channel_.abort(code, message);
  throw CommError(message, code);
}

void Wire::give_up_on(Stuck stuck, const std::vector<int>& members) {
  for (const int index : members) stuck.missing.push_back(member(index));
  std::sort(stuck.missing.begin(), stuck.missing.end());
  const Diagnosis diagnosis = patience_->judge(stuck);
  channel_.abort(diagnosis.code, diagnosis.why);
  throw CommError(diagnosis.why, diagnosis.code);
}

}  // namespace thinwire::comm

#include "comm/wire.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace thinwire::comm {

namespace {
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class BusyTime {
 public:
  explicit BusyTime(double& total_s) : total_s_(total_s) {}
  ~BusyTime() { total_s_ += seconds_since(start_); }
  BusyTime(const BusyTime&) = delete;
  BusyTime& operator=(const BusyTime&) = delete;

 private:
  double& total_s_;
  Clock::time_point start_ = Clock::now();
};

// Short waits stay short; long ones leave the core to the training thread and to the other ranks of this machine.
class Backoff {
 public:
  void reset() { *this = Backoff(); }
  void pause() {
    if (yields_left_ > 0) {
      --yields_left_;
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min(sleep_ * 3 / 2, std::chrono::microseconds(200));
  }

 private:
  int yields_left_ = 50;
  std::chrono::microseconds sleep_{20};
};
}  // namespace

void Wire::run(std::span<Op> ops, std::string_view what) {
  if (ops.empty()) return;
  const BusyTime busy(counters_.busy_s);
  for (const Op& op : ops) {
    if (op.kind == Op::Kind::send) counters_.sent_bytes += op.buffer.bytes;
  }
  wait(channel_.post(ops), what);
  for (const Op& op : ops) {
    if (op.kind == Op::Kind::recv) counters_.received_bytes += op.received;
  }
}

void Wire::wait(Ticket ticket, std::string_view what) {
  Backoff backoff;
  auto last_progress = Clock::now();
  uint64_t seen = 0;
  for (;;) {
    const Status status = channel_.poll(ticket);
    if (status.state == Status::State::done) return;
    if (status.state == Status::State::failed) fail(status.why + ", met", what, status.code);
    if (status.progress != seen) {
      seen = status.progress;
      last_progress = Clock::now();
      backoff.reset();
    } else if (seconds_since(last_progress) > timeout_s_) {
      fail(fmt::format("no message from {} for {:g} s", absent(status.waiting_for), timeout_s_), what);
    }
    backoff.pause();
  }
}

void Wire::fail(const std::string& why, std::string_view what, ExitCode code) {
  const std::string message = fmt::format("{} in {}{}", why, what, purpose_.empty() ? "" : fmt::format(" ({})", purpose_));
  channel_.abort(code, message);
  throw CommError(message, code);
}

std::string Wire::absent(const std::vector<int>& peers) const {
  std::vector<int> ranks;
  ranks.reserve(peers.size());
  for (const int peer : peers) ranks.push_back(channel_.member(peer));
  std::sort(ranks.begin(), ranks.end());
  return fmt::format("rank{} {}", ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", "));
}

}  // namespace thinwire::comm

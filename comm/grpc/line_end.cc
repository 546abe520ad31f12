// How a line fails, tells, and ends.
#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/grpc/line.h"

namespace thinwire::comm {

namespace {
constexpr double kTelling_s = 0.5;  // how long an abort waits until peers are told
constexpr double kLettingGo_s = 5;  // how long gRPC may take to drop what was cancelled
}  // namespace

void Line::changed() {
  events_.fetch_add(1, std::memory_order_release);
  moved_.notify_all();
}

std::optional<Status> Line::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Line::fail(ExitCode code, const std::string& why) {
  const std::lock_guard lock(mutex_);
  fail_locked(code, why);
}

void Line::fail_locked(ExitCode code, std::string why) {
  if (!failure_) failure_ = Status::failed(code, std::move(why));
  changed();
}

// Messages that have begun stay begun: the peer is told why they never end.
void Line::drop_queued() {
  for (Peer& peer : peers_) {
    for (const Outgoing& out : peer.messages) {
      if (out.posted != nullptr) --out.posted->left;
    }
    peer.messages.clear();
  }
}

// Not all changes are made under the lock, so that their notification can be missed: look again now and then.
bool Line::wait(std::unique_lock<std::mutex>& lock, double limit_s, FunctionRef<bool()> is_so) {
  const Stopwatch waited;
  while (!is_so()) {
    if (waited.seconds() > limit_s) return false;
    moved_.wait_for(lock, std::chrono::milliseconds(2));
  }
  return true;
}

bool Line::holds_memory() const {
  return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.held_slices > 0; });
}

bool Line::has_notes() const {
  return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) {
    return peer.stream != nullptr && !peer.has_ended && (!peer.notes.empty() || peer.is_writing);
  });
}

void Line::let_go() noexcept {
  std::unique_lock lock(mutex_);
  drop_queued();
  if (wait(lock, kTelling_s, [&] { return !holds_memory(); })) return;
  for (Peer& peer : peers_) {
    if (peer.held_slices > 0 && peer.stream != nullptr) peer.stream->cancel();
  }
  if (!wait(lock, kLettingGo_s, [&] { return !holds_memory(); })) {
    log::warn("gRPC still reads a message {} s after its stream was cancelled", kLettingGo_s);
  }
}

void Line::abort(ExitCode code, std::string_view why) noexcept {
  try {
    std::unique_lock lock(mutex_);
    if (is_aborted_) return;
    is_aborted_ = true;
    const int own_rank = identity_.members[static_cast<size_t>(identity_.index)];
    const std::string said = "rank " + std::to_string(own_rank) + ": " + std::string(why.substr(0, 3 * kMostTextBytes));
    drop_queued();
    told_ = Status::failed(code, said);
    for (int peer = 0; peer < static_cast<int>(peers_.size()); ++peer) tell(peer, *told_);
    fail_locked(code, said);
    wait(lock, kTelling_s, [&] { return !has_notes(); });
  } catch (...) {  // no memory for the text: peers meet their deadline, or find us gone
  }
  let_go();
}

void Line::tell(int peer, const Status& failure) {
  if (at(peer).has_ended || at(peer).stream == nullptr) return;
  note(peer, {FrameHeader::Kind::abort, static_cast<uint32_t>(failure.code)}, bytes_of(std::string_view(failure.why)));
  pump(peer);
}

void Line::close_if_parted(Peer& peer) {
  if (peer.bye_sent && !peer.is_writing && peer.has_said_bye && peer.stream != nullptr) peer.stream->close();
}

void Line::close(double limit_s) noexcept {
  std::unique_lock lock(mutex_);
  is_closing_ = true;
  const auto is_out = [&] {
    return std::all_of(peers_.begin(), peers_.end(),
                       [](const Peer& peer) { return peer.stream == nullptr || peer.has_ended || (peer.bye_sent && !peer.is_writing); });
  };
  const bool owes_reason = failure_ && !told_;  // who leaves because of one peer may be gone before the others hear that one
  for (int peer = 0; peer < static_cast<int>(peers_.size()); ++peer) {
    if (owes_reason) tell(peer, *failure_);
    at(peer).bye_queued = true;
    at(peer).arrived.clear();
    pump(peer);
    close_if_parted(at(peer));
  }
  if (owes_reason) told_ = failure_;
  wait(lock, limit_s, is_out);
}

bool Line::is_over() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.stream == nullptr; });
}

bool Line::has_no_future() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.has_ended; });
}

bool Line::is_awaited() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(peers_.begin(), peers_.end(),
                     [&](const Peer& peer) { return !peer.has_greeted && !peer.has_ended && (peer.stream != nullptr || failure_); });
}

void Line::finish() noexcept {
  std::unique_lock lock(mutex_);
  for (Peer& peer : peers_) {
    if (peer.stream != nullptr) peer.stream->cancel();
  }
  wait(lock, kLettingGo_s,
       [&] { return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.stream == nullptr; }); });
}

}  // namespace thinwire::comm

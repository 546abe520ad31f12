// A channel with deadlines and a byte counter: what collectives are written on.
//
// Used only on the thread that owns the channel (the Driver's). `sent_bytes` is the one place where wire bytes are counted: the bytes
// handed to the transport, frames included.
#pragma once
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/stopwatch.h"

#include "comm/patience.h"
#include "comm/transport.h"

namespace thinwire::comm {

struct WireCounters {
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  double busy_s = 0;  // time inside run(): posting, waiting and moving bytes
};

// Time in which at least one of several wires was in use. Thread-safe.
class BusyTime {
 public:
  void begin();
  void end();
  double seconds() const;

 private:
  mutable std::mutex mutex_;
  int wires_ = 0;
  Stopwatch since_;  // while wires_ > 0
  double total_s_ = 0;
};

class Wire {
 public:
  // `shared`: also told when this wire is in use; must outlive it.
  Wire(Channel& channel, std::shared_ptr<Patience> patience, BusyTime* shared = nullptr)
      : channel_(channel), patience_(std::move(patience)), shared_(shared) {}
  Wire(Channel& channel, double timeout_s) : Wire(channel, std::make_shared<Patience>(timeout_s)) {}
  // A view of a subset of the parent's members (ascending indices, this one among them), whose ranks count from 0 within it. Its bytes and
  // failures are the parent's, which must outlive it. Members of other subsets may use theirs meanwhile; the parent itself may not.
  Wire(Wire& parent, std::vector<int> members);

  int rank() const { return parent_ ? own_index_ : channel_.rank(); }
  int size() const { return parent_ ? static_cast<int>(members_.size()) : channel_.size(); }
  int member(int index) const { return parent_ ? parent_->member(members_[static_cast<size_t>(index)]) : channel_.member(index); }

  // Posts the operations and returns when all are done. Throws CommError when a peer fails, or when nothing arrived for the patience's
  // timeout: what that says then is the message. The channel is aborted before the throw, so that peers do not wait either.
  void run(std::span<Op> ops, std::string_view what);

  // Aborts the channel and throws CommError: for who finds that a peer's bytes make no sense. `what` as in run().
  [[noreturn]] void fail(const std::string& why, std::string_view what, ExitCode code = ExitCode::comm);

  // For who finds that members do not go on, although messages pass.
  [[noreturn]] void give_up_on(const std::vector<int>& members, std::string_view what, double waited_s) {
    give_up_on({std::string(what), purpose(), {}, waited_s, true}, members);
  }

  // On whose behalf the next operations run; error messages then say "all_gather (bucket 2)".
  void set_purpose(const std::string& purpose) { purpose_ = purpose; }
  const std::string& purpose() const { return parent_ ? parent_->purpose() : purpose_; }

  // Scratch for collectives: empty, and as large as it ever was.
  std::vector<Op>& ops() {
    ops_.clear();
    return ops_;
  }

  const WireCounters& counters() const { return parent_ ? parent_->counters() : counters_; }

 private:
  [[noreturn]] void give_up_on(Stuck stuck, const std::vector<int>& members);
  void wait(Ticket ticket, size_t longest_bytes, std::string_view what);

  Channel& channel_;
  Wire* parent_ = nullptr;
  std::vector<int> members_;  // of the parent
  int own_index_ = 0;
  std::shared_ptr<Patience> patience_;
  BusyTime* shared_ = nullptr;
  std::string purpose_;
  std::vector<Op> ops_;
  WireCounters counters_;
};

}  // namespace thinwire::comm

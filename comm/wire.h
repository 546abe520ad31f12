// A channel with deadlines and a byte counter: what collectives are written on.
//
// Used only on the thread that owns the channel (the Driver's). `sent_bytes` is the one place where wire bytes are counted: the bytes
// handed to the transport, frames included.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/transport.h"

namespace thinwire::comm {

struct WireCounters {
  uint64_t sent_bytes = 0;
  uint64_t received_bytes = 0;
  double busy_s = 0;  // time inside run(): posting, waiting and moving bytes
};

class Wire {
 public:
  Wire(Channel& channel, double timeout_s) : channel_(channel), timeout_s_(timeout_s) {}
  int rank() const { return channel_.rank(); }
  int size() const { return channel_.size(); }

  // Posts the operations and returns when all are done. Throws CommError when a peer fails, or when nothing arrived for timeout_s: the
  // message names `what` and the peers that were waited for. The channel is aborted before the throw, so that peers do not wait either.
  void run(std::span<Op> ops, std::string_view what);

  // Aborts the channel and throws CommError: for who finds that a peer's bytes make no sense. `what` as in run().
  [[noreturn]] void fail(const std::string& why, std::string_view what, ExitCode code = ExitCode::comm);

  // On whose behalf the next operations run; error messages then say "all_gather (bucket 2)".
  void set_purpose(std::string purpose) { purpose_ = std::move(purpose); }

  const WireCounters& counters() const { return counters_; }
  Channel& channel() { return channel_; }

 private:
  void wait(Ticket ticket, std::string_view what);
  std::string absent(const std::vector<int>& peers) const;

  Channel& channel_;
  double timeout_s_;
  std::string purpose_;
  WireCounters counters_;
};

}  // namespace thinwire::comm

// A channel with deadlines and a byte counter: what collectives are written on.
//
// Used only on the thread that owns the channel (the Driver's). `sent_bytes` is the one place where wire bytes are counted: the bytes
// handed to the transport, frames included.
#pragma once
#include <chrono>
#include <functional>
#include <string>

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

  const WireCounters& counters() const { return counters_; }
  Channel& channel() { return channel_; }

 private:
  Channel& channel_;
  double timeout_s_;
  WireCounters counters_;
};

}  // namespace thinwire::comm

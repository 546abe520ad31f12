// The seam between collectives and whatever carries the bytes.
//
// A Channel connects the members of a Group: messages between two members arrive whole, in the order posted, without tags. One thread
// uses a channel (the Driver's); only abort() may be called from any thread. After a failure or an abort the channel is dead.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cuda/runtime.h"
#include "base/error.h"

namespace thinwire::comm {

// Where memory lives. `cuda` is memory of the transport's own device; only transport nccl takes it.
enum class Place : uint8_t { host, cuda };

struct Memory {
  Place place = Place::host;
  cuda::Event ready = nullptr;  // cuda: recorded behind the work that must end before the channel reads or writes; nullptr: it has ended
};

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  Memory memory = {};
};

// A membership change is the next epoch. Members are ranks of the transport's world; peers below are indices into `members`.
struct Group {
  uint64_t epoch = 0;
  std::vector<int> members;
  bool operator==(const Group&) const = default;
};

struct Op {
  enum class Kind : uint8_t { send, recv };
  Kind kind;
  int peer;             // index in the group
  Buffer buffer;        // recv: bytes is the capacity; a longer message is a failure, never a truncation
  size_t received = 0;  // recv: written once the ticket is done
};

using Ticket = uint64_t;

struct Status {
  enum class State : uint8_t { pending, done, failed };
  State state = State::pending;
  std::string why;                 // failed: who and what
  ExitCode code = ExitCode::comm;  // failed: what the process should end with
  uint64_t progress = 0;           // pending: grows whenever a part of this ticket got through

  static Status failed(ExitCode code, std::string why) {
    Status status;
    status.state = State::failed;
    status.why = std::move(why);
    status.code = code;
    return status;
  }
};

class Channel {
 public:
  virtual ~Channel() = default;
  virtual int rank() const = 0;  // this member's index in the group
  virtual int size() const = 0;
  // The rank in the transport's world of the member with this index: what messages for people call it.
  virtual int member(int index) const { return index; }
  // Starts all operations; ops and their buffers belong to the channel until the ticket is done or failed. Peers are other members.
  // A done ticket is done on the device too: any stream may use its buffers.
  virtual Ticket post(std::span<Op> ops) = 0;
  // Makes progress and reports. A done or failed ticket is forgotten by this call.
  virtual Status poll(Ticket ticket) = 0;
  // Of the channel itself, without a ticket: failed once this or another member aborted it, or a connection broke; else pending.
  virtual Status health() = 0;
  // Of a pending ticket: the peers whose part is missing. For messages: asked once, at a deadline.
  virtual std::vector<int> waiting_for(Ticket ticket) const = 0;
  // From any thread: ends this epoch and unblocks every member's waiters, own ones included, with "rank <who>: <why>" and `code`, as far as
  // peers can still be reached. Does nothing on a channel that this or another member aborted before.
  virtual void abort(ExitCode code, std::string_view why) noexcept = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int world_rank() const = 0;
  virtual int world_size() const = 0;
  virtual std::string_view name() const = 0;  // "loopback", "mpi", "nccl"
  // Collective over the members: all call it in the same order with equal arguments.
  virtual std::unique_ptr<Channel> open(const Group& group, std::string_view name) = 0;
  // Where small messages that must not wait (flags, hashes) go: this transport, or the one that it was started over.
  virtual Transport& control() { return *this; }
  // How many channels may be in use at a time, each by a thread of its own.
  virtual int max_bulk_lanes() const { return std::numeric_limits<int>::max(); }
};

}  // namespace thinwire::comm

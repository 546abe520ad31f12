// How two members agree on a message before NCCL moves it. NCCL has neither lengths nor tags: both sides must name the same number of
// bytes, and a kernel that waits for a peer occupies the device. So each side of a message first tells the other over a side channel: the
// sender its length, the receiver its capacity. The k-th send to a member meets that member's k-th receive. Internal to nccl.
//
// A note has 9 bytes: u8 kind of the operation (0 send, 1 recv), u64 its bytes. Used by the thread that polls the channel.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/function_ref.h"
#include "comm/transport.h"

namespace thinwire::comm {

class Handshake {
 public:
  struct Note {
    int peer;
    Op::Kind kind;   // of the peer's operation
    uint64_t bytes;  // send: its length; recv: its capacity
  };

  explicit Handshake(Channel& side) : side_(side), ears_(static_cast<size_t>(side.size())) {}

  // Tells each operation's peer, and awaits one note of that peer for it.
  void announce(std::span<const Op> ops);
  // Hands out what has come. The failure of the side channel, if it has failed, whether or not a note is awaited.
  std::optional<Status> poll(FunctionRef<void(const Note&)> take);

 private:
  static constexpr size_t kNoteBytes = 9;
  using Bytes = std::array<std::byte, kNoteBytes>;
  struct Ear {
    Bytes bytes;
    Op op;
    Ticket ticket = 0;
    size_t awaited = 0;  // notes, one per operation of ours that has not met its counterpart: so none is left when all have ended
    bool listening = false;
  };
  struct Letter {  // what one announce() sends; must stay where it is until sent
    std::vector<Bytes> notes;
    std::vector<Op> ops;
    Ticket ticket = 0;
  };
  void listen(int peer);
  Note read(int peer) const;

  Channel& side_;
  std::vector<Ear> ears_;  // by peer
  std::vector<std::unique_ptr<Letter>> sent_, spare_;
};

}  // namespace thinwire::comm

// One channel as gRPC's threads and the polling thread share it: for each peer what is to be sent and what has come. Internal to grpc.
//
// A stream to each peer carries frames (frame.h). What a peer sends waits here until a receive is posted, never more than a window of it.
// Large sends are read from the caller's memory by gRPC; a ticket's sends are over once gRPC has let go of all of it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "base/function_ref.h"
#include "comm/grpc/frame.h"
#include "comm/grpc/stream.h"
#include "comm/transport.h"

namespace thinwire::comm {

// What a line is told about its place in the world.
struct LineIdentity {
  std::string session, name, host;
  std::vector<int> members;          // ranks of the world
  int index = 0;                     // of this rank among them
  std::shared_ptr<void> alive = {};  // see open_stream()
};

class Line : public std::enable_shared_from_this<Line> {
 public:
  explicit Line(LineIdentity identity);

  // Called once for each peer, when its stream is there. An accepted stream has shown its hello already.
  void connect(int peer, const std::shared_ptr<grpc::Channel>& channel);
  void accept(int peer, std::shared_ptr<AcceptedStream> stream, const Hello& hello);

  // --- the polling thread's ---
  void send(int peer, ConstBytes message, Ticket ticket);  // bytes stay the caller's until sends_left() is 0
  // Frames of messages of that peer, in order: the next one, or nothing. What is taken must be given back by consumed() once copied.
  std::optional<std::pair<FrameHeader, Incoming>> take(int peer);
  void consumed(int peer, size_t frame_bytes);
  bool has_left(int peer) const;                    // it said bye, and all that it sent was taken
  std::optional<std::string> lost(int peer) const;  // why its stream ended, if it did without a bye
  struct Sends {
    size_t left = 0;     // 0: neither the outbox nor gRPC holds anything of it
    uint64_t parts = 0;  // that got through; grows
  };
  Sends sends_of(Ticket ticket) const;
  std::vector<int> sends_to(Ticket ticket) const;  // peers that have not got all
  void forget(Ticket ticket);
  // Changes whenever one of the above may have something new.
  uint64_t events() const { return events_.load(std::memory_order_acquire); }

  std::optional<Status> failure() const;
  void fail(ExitCode code, const std::string& why);  // of this member alone; the first stays
  // Drops what is not sent and waits, not long, until gRPC holds none of the caller's memory.
  void let_go() noexcept;
  void abort(ExitCode code, std::string_view why) noexcept;  // see Channel; returns when the peers are told, or cannot be soon
  // No more of either: says bye after what is queued, and waits for at most that long until it is out.
  void close(double limit_s) noexcept;

  // --- of the transport, when it ends ---
  bool is_over() const;        // no stream is open
  bool has_no_future() const;  // nor will one be: every peer has been here and gone
  // A peer may not know yet what happened here: it has not taken our call, or has not called and would hear of a failure.
  bool is_awaited() const;
  void finish() noexcept;  // cancels what has not
  const std::string& name() const { return identity_.name; }
  bool misses(int peer) const;           // its stream has not come yet
  std::vector<int> not_greeted() const;  // peers that have not said who they are

 private:
  // gRPC may let go of memory within any call to it, locks held or not: so these are counted without one.
  struct Posted {
    std::atomic<size_t> left = 0;  // messages not wholly handed over, and slices that gRPC holds
    std::atomic<uint64_t> parts = 0;
  };
  struct Outgoing {
    ConstBytes bytes;
    std::shared_ptr<Posted> posted = nullptr;  // none: the bytes are `own`
    std::vector<std::byte> own = {};           // small messages are copied: their ticket does not wait
    size_t sent_bytes = 0;
    bool has_begun = false;
  };
  struct Peer {
    std::shared_ptr<Stream> stream;            // until it has ended
    std::shared_ptr<Stream> kept;              // for as long as the line lives
    std::deque<std::vector<std::byte>> notes;  // frames that are not messages, whole: they overtake
    std::deque<Outgoing> messages;
    std::deque<std::pair<FrameHeader, Incoming>> arrived;
    size_t credit_bytes = 0;              // what we may send
    size_t granted_bytes = 0;             // what it may send
    size_t consumed_bytes = 0;            // and not granted anew yet
    std::atomic<size_t> held_slices = 0;  // of the caller's memory, by gRPC
    uint64_t message_left_bytes = 0;      // of the message that is coming in: parts must add up
    uint64_t message_bytes = 0;
    bool has_greeted = false, is_writing = false;
    bool bye_queued = false, bye_sent = false, has_said_bye = false, has_ended = false;
    std::string why_ended;
  };
  class Ear;    // a stream's listener: one peer's
  struct Hold;  // what gRPC holds of a ticket

  Peer& at(int peer) { return peers_[static_cast<size_t>(peer)]; }
  const Peer& at(int peer) const { return peers_[static_cast<size_t>(peer)]; }
  std::string who(int peer) const;
  Hello hello_to(int peer) const;
  // Under mutex_:
  void note(int peer, const FrameHeader& header, ConstBytes payload = {});
  void pump(int peer);
  void write_message(int peer);
  void fail_locked(ExitCode code, std::string why);
  void drop_queued();
  void tell(int peer, const Status& failure);
  void close_if_parted(Peer& peer);
  bool holds_memory() const;
  bool has_notes() const;
  void changed();
  bool wait(std::unique_lock<std::mutex>& lock, double limit_s, FunctionRef<bool()> is_so);
  // Of the ears:
  void on_frame(int peer, Incoming frame);
  void handle(int peer, const FrameHeader& header, Incoming& frame);
  void on_hello(int peer, const Hello& hello);
  void on_written(int peer);
  void on_end(int peer, const std::string& why);

  const LineIdentity identity_;
  mutable std::mutex mutex_;
  std::condition_variable moved_;  // for whoever waits in abort(), let_go() and close()
  std::vector<Peer> peers_;
  std::map<Ticket, std::shared_ptr<Posted>> tickets_;
  std::map<int, std::string> hosts_;
  std::optional<Status> failure_;
  std::optional<Status> told_;  // what this member told its peers
  bool is_aborted_ = false, is_closing_ = false;
  std::atomic<uint64_t> events_ = 0;
};

}  // namespace thinwire::comm

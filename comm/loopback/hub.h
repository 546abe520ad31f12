// What the rank threads of one process share: the channels' queues and who is there. Internal to loopback.
#pragma once
#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/fifo.h"
#include "comm/transport.h"

namespace thinwire::comm {

// One channel, as its members share it. Guarded by the hub's mutex.
struct LoopbackLine {
  enum class Presence : uint8_t { awaited, joined, left };
  Group group;
  std::string name;
  std::vector<Presence> presence;                          // by member
  std::vector<Fifo<std::vector<std::byte>>> queues;        // [from * members + to]
  std::vector<std::vector<std::byte>> spare;               // buffers of messages that were delivered
  std::optional<Status> aborted;

  Fifo<std::vector<std::byte>>& queue(int from, int to) {
    return queues[static_cast<size_t>(from) * presence.size() + static_cast<size_t>(to)];
  }
};

// Thread-safe.
class LoopbackHub {
 public:
  explicit LoopbackHub(int world) : present_(static_cast<size_t>(world), true), events_(static_cast<size_t>(world)) {}
  int world() const { return static_cast<int>(present_.size()); }

  void enter(int rank);  // a transport of that rank exists
  void leave(int rank);  // no more: lines it has not joined by now must not wait for it

  // The line with that group and name that this member has not joined yet; a new one when there is none. So the k-th opening of a member
  // meets the k-th opening of the others.
  std::shared_ptr<LoopbackLine> join(const Group& group, std::string_view name, int member);
  void quit(LoopbackLine& line, int member);
  void send(LoopbackLine& line, int from, int to, ConstBytes message);  // copies it
  void abort(LoopbackLine& line, ExitCode code, const std::string& why);
  void abort_all(ExitCode code, const std::string& why);

  // What waits for member `to`, at most awaited[p] messages of each peer p. Failed: the line was aborted, or one of whom more is awaited
  // will not send it.
  struct Arrivals {
    std::vector<std::pair<int, std::vector<std::byte>>> messages;  // (peer, bytes), of one peer in the order sent
    std::optional<Status> failure;
  };
  void take(LoopbackLine& line, int to, const std::vector<size_t>& awaited, Arrivals& arrivals);
  void recycle(LoopbackLine& line, Arrivals& arrivals);  // once delivered

  // Changes whenever take() could give that rank something new: polling it costs no lock.
  uint64_t events(int rank) const { return events_[static_cast<size_t>(rank)].load(std::memory_order_acquire); }

 private:
  void notify(int rank) { events_[static_cast<size_t>(rank)].fetch_add(1, std::memory_order_release); }
  void notify_all(const LoopbackLine& line);
  bool is_gone(const LoopbackLine& line, int member) const;

  std::mutex mutex_;
  std::vector<bool> present_;                           // by rank
  std::vector<std::shared_ptr<LoopbackLine>> forming_;  // not yet joined by all
  std::optional<Status> aborted_;                       // every line, present and future
  std::deque<std::atomic<uint64_t>> events_;            // by rank
};

}  // namespace thinwire::comm

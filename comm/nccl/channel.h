// A channel of NCCL. Internal to nccl; the contract is Channel's, the protocol is described in nccl.h.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/fifo.h"
#include "comm/nccl/device_line.h"
#include "comm/nccl/handshake.h"

namespace thinwire::comm {

class NcclChannel final : public Channel {
 public:
  // `side`: a channel of the same group over the transport that NCCL was started over. Messages move in parts of at most part_limit_bytes.
  NcclChannel(std::unique_ptr<Channel> side, std::unique_ptr<DeviceLine> device, size_t part_limit_bytes, double close_timeout_s);
  // In peace it waits up to close_timeout_s for what peers still have to take; otherwise it aborts what is under way.
  ~NcclChannel() override;
  NcclChannel(const NcclChannel&) = delete;
  NcclChannel& operator=(const NcclChannel&) = delete;

  int rank() const override { return side_->rank(); }
  int size() const override { return side_->size(); }
  int member(int index) const override { return side_->member(index); }

  Ticket post(std::span<Op> ops) override;
  Status poll(Ticket ticket) override;
  Status health() override;
  std::vector<int> waiting_for(Ticket ticket) const override;
  void abort(ExitCode code, std::string_view why) noexcept override;

 private:
  struct Message {
    Op* op;
    Ticket ticket;
    uint64_t batch;
    size_t moved_bytes = 0;
  };
  struct Queue {                // of one direction to one peer
    Fifo<Message> messages;     // in the order posted; only the first moves
    Fifo<uint64_t> told_bytes;  // the peer's notes about them: lengths of receives, capacities of sends; may be ahead of the messages
    size_t matched() const { return std::min(messages.size(), told_bytes.size()); }
  };
  struct Batch {  // what was posted between two polls: goes in groups that have the same order on all members
    size_t unmatched = 0;
    size_t open = 0;  // messages not moved yet
  };
  struct Posted {
    Ticket ticket;
    size_t open = 0;
    uint64_t progress = 0;
  };

  Queue& queue(Op::Kind kind, int peer) { return queues_[static_cast<size_t>(peer) * 2 + static_cast<size_t>(kind)]; }
  const Queue& queue(Op::Kind kind, int peer) const { return queues_[static_cast<size_t>(peer) * 2 + static_cast<size_t>(kind)]; }
  Batch& batch(uint64_t number) { return batches_[number - first_batch_]; }
  Posted& posted(Ticket ticket);
  void match(Op::Kind kind, int peer, size_t at);  // its note has come

  void advance();
  bool start_group();  // of the first batch; false when there is nothing to move
  void finish_group();
  void finish_message(Op::Kind kind, int peer);
  Status cause_of(const CommError& error);
  void fail(const Status& status);  // the first failure stays
  std::optional<Status> failure() const;

  const std::unique_ptr<Channel> side_;
  const std::unique_ptr<DeviceLine> device_;
  const size_t limit_bytes_;
  const double close_timeout_s_;

  // Of the polling thread alone:
  Handshake handshake_;
  std::vector<Queue> queues_;  // by peer and direction
  Fifo<Batch> batches_;        // the last one is open for posts while is_batch_open_
  uint64_t first_batch_ = 0;   // its number
  bool is_batch_open_ = false;
  std::vector<Posted> tickets_;  // few at a time
  Ticket next_ticket_ = 1;
  std::vector<DeviceLine::Part> parts_;  // scratch of start_group()

  std::atomic<bool> dead_ = false;
  mutable std::mutex mutex_;
  std::optional<Status> failure_;  // guarded by mutex_
};

}  // namespace thinwire::comm

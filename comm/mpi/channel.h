// A channel of MPI. Internal to mpi; the contract is Channel's, the protocol of parts is described in mpi.h.
#pragma once
#include <mpi.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/fifo.h"
#include "comm/mpi/abort_line.h"
#include "comm/transport.h"

namespace thinwire::comm {

class MpiChannel final : public Channel {
 public:
  // Takes over a communicator of the group's members in their order.
  MpiChannel(MPI_Comm comm, std::vector<int> members, size_t message_limit_bytes);
  // Never waits for peers: what is still posted is left to MPI.
  ~MpiChannel() override;
  MpiChannel(const MpiChannel&) = delete;
  MpiChannel& operator=(const MpiChannel&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(members_.size()); }
  int member(int index) const override { return members_.at(static_cast<size_t>(index)); }

  Ticket post(std::span<Op> ops) override;
  Status poll(Ticket ticket) override;
  Status health() override;
  std::vector<int> waiting_for(Ticket ticket) const override;
  void abort(ExitCode code, std::string_view why) noexcept override;

 private:
  struct Receive {
    Op* op;
    Ticket ticket;
  };
  struct Posted {
    size_t open_parts = 0;  // parts being sent and whole messages awaited
    uint64_t progress = 0;
  };
  struct Part {  // beside the request of the same index
    int peer;
    Ticket ticket;
    bool is_send;
  };
  void start_sends(const Op& op, Ticket ticket);
  void start_receive(int peer);  // the next part of the first message awaited from that peer
  void finish_part(const Part& part, const MPI_Status& status);
  bool progress();  // whether some part got through
  void listen();
  void drop_requests();

  std::optional<Status> failure() const;
  void fail(ExitCode code, std::string why);  // the first failure stays

  MPI_Comm comm_;
  const std::vector<int> members_;
  const size_t limit_bytes_;
  int rank_ = 0;
  AbortLine abort_line_;

  // Of the polling thread alone:
  std::vector<MPI_Request> requests_;
  std::vector<Part> parts_;
  std::vector<Fifo<Receive>> receives_;   // by peer, in the order posted; only the first is under way
  std::unordered_map<Ticket, Posted> tickets_;
  Ticket next_ticket_ = 1;
  std::vector<int> completed_;  // scratch of progress()
  std::vector<MPI_Status> statuses_;
  std::vector<std::pair<Part, MPI_Status>> finished_;

  std::atomic<bool> dead_ = false;
  mutable std::mutex mutex_;
  std::optional<Status> failure_;  // guarded by mutex_
  bool aborted_ = false;           // guarded by mutex_: this or another member told everyone
};

}  // namespace thinwire::comm

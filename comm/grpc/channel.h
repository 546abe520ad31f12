// A channel over streams: matches what arrives on a Line with the receives that are posted. Internal to grpc.
#pragma once
#include <memory>
#include <vector>

#include "base/fifo.h"
#include "comm/grpc/line.h"

namespace thinwire::comm {

class GrpcChannel final : public Channel {
 public:
  // `world`: the line that joins all ranks for as long as they live; it tells of peers that never come to this one.
  GrpcChannel(std::shared_ptr<Line> line, std::shared_ptr<Line> world, Group group, int index);
  ~GrpcChannel() override;

  int rank() const override { return index_; }
  int size() const override { return static_cast<int>(group_.members.size()); }
  int member(int index) const override { return group_.members.at(static_cast<size_t>(index)); }
  Ticket post(std::span<Op> ops) override;
  Status poll(Ticket ticket) override;
  Status health() override;
  std::vector<int> waiting_for(Ticket ticket) const override;
  void abort(ExitCode code, std::string_view why) noexcept override { line_->abort(code, why); }

 private:
  struct Receive {
    Op* op;
    Ticket ticket;
    uint64_t message_bytes = 0;  // once its first part is there
  };
  struct Posted {
    Ticket ticket;
    size_t open_receives = 0;
    uint64_t received_parts = 0;
  };
  Posted& posted(Ticket ticket);
  void take_arrivals();
  void receive_from(int peer);
  bool deliver(int peer, const FrameHeader& header, const Incoming& frame);
  void look_for_absent();

  const std::shared_ptr<Line> line_, world_;
  const Group group_;
  const int index_;
  // Of the polling thread alone:
  std::vector<Fifo<Receive>> receives_;  // by peer, in the order posted
  std::vector<Posted> tickets_;          // few at a time
  Ticket next_ticket_ = 1;
  uint64_t seen_events_ = 0;
  bool has_new_receives_ = false;
};

}  // namespace thinwire::comm

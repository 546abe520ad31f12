#include "comm/loopback/loopback.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "comm/group.h"
#include "comm/loopback/hub.h"

namespace thinwire::comm {

namespace {
class LoopbackChannel final : public Channel {
 public:
  LoopbackChannel(std::shared_ptr<LoopbackHub> hub, const Group& group, std::string_view name, int index)
      : hub_(std::move(hub)),
        line_(hub_->join(group, name, index)),
        members_(group.members),
        index_(index),
        awaited_(members_.size()),
        receives_(members_.size()) {}
  ~LoopbackChannel() override { hub_->quit(*line_, index_); }

  int rank() const override { return index_; }
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
    Ticket ticket;
    size_t open_receives = 0;
    uint64_t progress = 0;
  };
  Posted& posted(Ticket ticket);
  void take_arrivals();
  void deliver(int peer, const std::vector<std::byte>& message);

  const std::shared_ptr<LoopbackHub> hub_;
  const std::shared_ptr<LoopbackLine> line_;
  const std::vector<int> members_;
  const int index_;
  // Of the polling thread alone:
  std::vector<size_t> awaited_;                // by peer: receives_[peer].size()
  std::vector<Fifo<Receive>> receives_;        // by peer, in the order posted
  std::vector<Posted> tickets_;                // few at a time
  LoopbackHub::Arrivals arrivals_;
  Ticket next_ticket_ = 1;
  uint64_t seen_events_ = 0;
  bool has_new_receives_ = false;
  std::optional<Status> failure_;
};

Ticket LoopbackChannel::post(std::span<Op> ops) {
  const Ticket ticket = next_ticket_++;
  Posted& posted = tickets_.emplace_back(Posted{ticket});
  for (Op& op : ops) {
    check(op.peer >= 0 && op.peer < size() && op.peer != index_, "an operation's peer is another member");
    check(op.buffer.memory.place == Place::host, "loopback carries host memory");
    const auto peer = static_cast<size_t>(op.peer);
    const auto* bytes = static_cast<const std::byte*>(op.buffer.data);
    if (op.kind == Op::Kind::send) {
      hub_->send(*line_, index_, op.peer, {bytes, op.buffer.bytes});
    } else {
      receives_[peer].push({&op, ticket});
      ++awaited_[peer];
      ++posted.open_receives;
      has_new_receives_ = true;
    }
  }
  return ticket;
}

LoopbackChannel::Posted& LoopbackChannel::posted(Ticket ticket) {
  const auto at = std::find_if(tickets_.begin(), tickets_.end(), [&](const Posted& one) { return one.ticket == ticket; });
  check(at != tickets_.end(), "a polled ticket is neither done nor failed yet");
  return *at;
}

Status LoopbackChannel::poll(Ticket ticket) {
  take_arrivals();
  Posted& at = posted(ticket);
  Status status;
  status.progress = at.progress;
  if (!failure_ && at.open_receives > 0) return status;
  std::swap(at, tickets_.back());
  tickets_.pop_back();
  if (failure_) return *failure_;
  status.state = Status::State::done;
  return status;
}

Status LoopbackChannel::health() {
  take_arrivals();
  return failure_.value_or(Status());
}

std::vector<int> LoopbackChannel::waiting_for(Ticket ticket) const {
  std::vector<int> peers;
  for (int peer = 0; peer < size(); ++peer) {
    const auto& waiting = receives_[static_cast<size_t>(peer)];
    if (std::any_of(waiting.begin(), waiting.end(), [&](const Receive& r) { return r.ticket == ticket; })) peers.push_back(peer);
  }
  return peers;
}

void LoopbackChannel::take_arrivals() {
  const uint64_t events = hub_->events(members_[static_cast<size_t>(index_)]);
  if (failure_ || (events == seen_events_ && !has_new_receives_)) return;
  seen_events_ = events;
  has_new_receives_ = false;
  hub_->take(*line_, index_, awaited_, arrivals_);
  for (const auto& [peer, message] : arrivals_.messages) deliver(peer, message);
  if (!arrivals_.messages.empty()) hub_->recycle(*line_, arrivals_);
  if (!failure_) failure_ = std::exchange(arrivals_.failure, {});
}

void LoopbackChannel::deliver(int peer, const std::vector<std::byte>& message) {
  const auto at = static_cast<size_t>(peer);
  const Receive receive = receives_[at].pop();
  --awaited_[at];
  Op& op = *receive.op;
  if (message.size() > op.buffer.bytes) {
    failure_ = Status::failed(ExitCode::comm, "rank " + std::to_string(member(peer)) + " sent " + std::to_string(message.size()) +
                                                  " bytes, more than the " + std::to_string(op.buffer.bytes) + " bytes that fit");
    return;
  }
  if (!message.empty()) std::memcpy(op.buffer.data, message.data(), message.size());
  op.received = message.size();
  Posted& of = posted(receive.ticket);
  --of.open_receives;
  ++of.progress;
}

void LoopbackChannel::abort(ExitCode code, std::string_view why) noexcept {
  try {
    hub_->abort(*line_, code, "rank " + std::to_string(member(index_)) + ": " + std::string(why));
  } catch (...) {  // no memory for the text: peers meet their deadline, or find us gone
  }
}

class LoopbackTransport final : public Transport {
 public:
  LoopbackTransport(std::shared_ptr<LoopbackHub> hub, int rank) : hub_(std::move(hub)), rank_(rank) { hub_->enter(rank_); }
  ~LoopbackTransport() override { hub_->leave(rank_); }
  int world_rank() const override { return rank_; }
  int world_size() const override { return hub_->world(); }
  std::string_view name() const override { return "loopback"; }
  std::unique_ptr<Channel> open(const Group& group, std::string_view name) override {
    return std::make_unique<LoopbackChannel>(hub_, group, name, index_in(group, rank_, world_size()));
  }

 private:
  const std::shared_ptr<LoopbackHub> hub_;
  const int rank_;
};
}  // namespace

std::shared_ptr<LoopbackHub> make_loopback_hub(int world) {
  check(world > 0, "a world has ranks");
  return std::make_shared<LoopbackHub>(world);
}

std::unique_ptr<Transport> make_loopback_transport(std::shared_ptr<LoopbackHub> hub, int rank) {
  check(rank >= 0 && rank < hub->world(), "the rank is one of the hub's world");
  return std::make_unique<LoopbackTransport>(std::move(hub), rank);
}

void abort_loopback(LoopbackHub& hub, int rank, ExitCode code, std::string_view why) noexcept {
  try {
    hub.abort_all(code, "rank " + std::to_string(rank) + ": " + std::string(why));
  } catch (...) {  // as above
  }
}

}  // namespace thinwire::comm

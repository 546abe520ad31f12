#include "comm/grpc/channel.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace thinwire::comm {

namespace {
constexpr double kParting_s = 5, kPartingAfterFailure_s = 0.2;  // to get out what was sent and a bye
}

GrpcChannel::GrpcChannel(std::shared_ptr<Line> line, std::shared_ptr<Line> world, Group group, int index)
    : line_(std::move(line)), world_(std::move(world)), group_(std::move(group)), index_(index), receives_(group_.members.size()) {}

GrpcChannel::~GrpcChannel() {
  if (!tickets_.empty()) line_->let_go();  // an exception passes
  line_->close(line_->failure() ? kPartingAfterFailure_s : kParting_s);
}

Ticket GrpcChannel::post(std::span<Op> ops) {
  const Ticket ticket = next_ticket_++;
  Posted& posted = tickets_.emplace_back(Posted{ticket});
  for (Op& op : ops) {
    check(op.peer >= 0 && op.peer < size() && op.peer != index_, "an operation's peer is another member");
    check(op.buffer.memory.place == Place::host, "gRPC carries host memory");
    if (op.kind == Op::Kind::send) {
      line_->send(op.peer, {static_cast<const std::byte*>(op.buffer.data), op.buffer.bytes}, ticket);
    } else {
      op.received = 0;
      receives_[static_cast<size_t>(op.peer)].push({&op, ticket});
      ++posted.open_receives;
      has_new_receives_ = true;
    }
  }
  return ticket;
}

GrpcChannel::Posted& GrpcChannel::posted(Ticket ticket) {
  const auto at = std::find_if(tickets_.begin(), tickets_.end(), [&](const Posted& one) { return one.ticket == ticket; });
  check(at != tickets_.end(), "a polled ticket is neither done nor failed yet");
  return *at;
}

Status GrpcChannel::poll(Ticket ticket) {
  take_arrivals();
  Posted& at = posted(ticket);
  const Line::Sends sends = line_->sends_of(ticket);
  const auto failure = line_->failure();
  Status status;
  status.progress = at.received_parts + sends.parts;
  if (!failure && (at.open_receives > 0 || sends.left > 0)) return status;
  std::swap(at, tickets_.back());
  tickets_.pop_back();
  if (failure) line_->let_go();
  line_->forget(ticket);
  if (failure) return *failure;
  status.state = Status::State::done;
  return status;
}

Status GrpcChannel::health() {
  take_arrivals();
  return line_->failure().value_or(Status());
}

std::vector<int> GrpcChannel::waiting_for(Ticket ticket) const {
  std::vector<int> peers = line_->sends_to(ticket);
  for (int peer = 0; peer < size(); ++peer) {
    const auto& waiting = receives_[static_cast<size_t>(peer)];
    if (std::any_of(waiting.begin(), waiting.end(), [&](const Receive& r) { return r.ticket == ticket; })) peers.push_back(peer);
  }
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

void GrpcChannel::take_arrivals() {
  const uint64_t events = line_->events() + world_->events();
  if (events == seen_events_ && !has_new_receives_) return;
  seen_events_ = events;
  has_new_receives_ = false;
  if (line_->failure()) return;
  for (int peer = 0; peer < size(); ++peer) receive_from(peer);
  look_for_absent();
}

void GrpcChannel::receive_from(int peer) {
  auto& waiting = receives_[static_cast<size_t>(peer)];
  while (!waiting.empty()) {
    const auto arrived = line_->take(peer);
    if (!arrived) break;
    if (!deliver(peer, arrived->first, arrived->second)) return;
    line_->consumed(peer, arrived->second.size());
  }
}

// False when it is longer than what it is to go into.
bool GrpcChannel::deliver(int peer, const FrameHeader& header, const Incoming& frame) {
  auto& waiting = receives_[static_cast<size_t>(peer)];
  Receive& receive = waiting.front();
  Op& op = *receive.op;
  if (header.kind == FrameHeader::Kind::message) {
    receive.message_bytes = header.value;
    if (header.value > op.buffer.bytes) {
      line_->fail(ExitCode::comm,
                  fmt::format("rank {} sent {} bytes, more than the {} bytes that fit", member(peer), header.value, op.buffer.bytes));
      return false;
    }
  }
  const size_t part_bytes = frame.size() - kFrameHeaderBytes;  // the line has checked that parts add up to the message
  frame.copy(kFrameHeaderBytes, {static_cast<std::byte*>(op.buffer.data) + op.received, part_bytes});
  op.received += part_bytes;
  Posted& of = posted(receive.ticket);
  ++of.received_parts;
  if (op.received == receive.message_bytes) {
    --of.open_receives;
    waiting.pop();
  }
  return true;
}

void GrpcChannel::look_for_absent() {
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == index_) continue;
    const bool is_awaited = !receives_[static_cast<size_t>(peer)].empty();
    if (is_awaited && line_->has_left(peer)) line_->fail(ExitCode::comm, fmt::format("rank {} left", member(peer)));
    if (!line_->misses(peer)) continue;
    if (const auto lost = world_->lost(member(peer))) line_->fail(ExitCode::comm, *lost);
    if (is_awaited && world_->has_left(member(peer))) line_->fail(ExitCode::comm, fmt::format("rank {} left", member(peer)));
  }
}

}  // namespace thinwire::comm

#include "comm/nccl/channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/check.h"
#include "base/stopwatch.h"

namespace thinwire::comm {

namespace {
constexpr Op::Kind kBoth[] = {Op::Kind::send, Op::Kind::recv};
constexpr double kLateWords_s = 0.2;
}  // namespace

NcclChannel::NcclChannel(std::unique_ptr<Channel> side, std::unique_ptr<DeviceLine> device, size_t part_limit_bytes, double close_timeout_s)
    : side_(std::move(side)),
      device_(std::move(device)),
      limit_bytes_(part_limit_bytes),
      close_timeout_s_(close_timeout_s),
      handshake_(*side_),
      queues_(static_cast<size_t>(side_->size()) * 2) {
  check(limit_bytes_ > 0, "a part has bytes");
}

NcclChannel::~NcclChannel() {
  try {
    if (dead_ || !tickets_.empty() || side_->health().state == Status::State::failed) return;
    device_->close(close_timeout_s_);
  } catch (...) {  // the side channel broke: the line's own end aborts
  }
}

Ticket NcclChannel::post(std::span<Op> ops) {
  const Ticket ticket = next_ticket_++;
  tickets_.push_back({ticket});
  if (dead_ || ops.empty()) return ticket;
  if (!is_batch_open_) batches_.push({});
  is_batch_open_ = true;
  const uint64_t number = first_batch_ + batches_.size() - 1;
  for (Op& op : ops) {
    check(op.peer >= 0 && op.peer < size() && op.peer != rank(), "an operation's peer is another member");
    op.received = 0;
    Queue& to = queue(op.kind, op.peer);
    to.messages.push({&op, ticket, number});
    ++tickets_.back().open;
    ++batch(number).open;
    ++batch(number).unmatched;
    if (to.told_bytes.size() >= to.messages.size()) match(op.kind, op.peer, to.messages.size() - 1);
  }
  handshake_.announce(ops);
  return ticket;
}

// A send that does not fit is never matched: its receiver fails, and says so to everyone.
void NcclChannel::match(Op::Kind kind, int peer, size_t at) {
  Queue& of = queue(kind, peer);
  const Message& message = of.messages[at];
  const uint64_t told_bytes = of.told_bytes[at];
  const size_t own_bytes = message.op->buffer.bytes;
  if (kind == Op::Kind::send && told_bytes < own_bytes) return;
  if (kind == Op::Kind::recv && told_bytes > own_bytes) {
    return fail(Status::failed(ExitCode::comm,
                               fmt::format("rank {} sent {} bytes, more than the {} bytes that fit", member(peer), told_bytes, own_bytes)));
  }
  --batch(message.batch).unmatched;
  ++posted(message.ticket).progress;
}

NcclChannel::Posted& NcclChannel::posted(Ticket ticket) {
  const auto at = std::find_if(tickets_.begin(), tickets_.end(), [&](const Posted& one) { return one.ticket == ticket; });
  check(at != tickets_.end(), "a polled ticket is neither done nor failed yet");
  return *at;
}

Status NcclChannel::poll(Ticket ticket) {
  is_batch_open_ = false;
  if (!dead_) {
    try {
      advance();
    } catch (const CommError& e) {
      fail(cause_of(e));
    } catch (const Error& e) {
      fail(Status::failed(e.code(), e.what()));
    }
  }
  Posted& at = posted(ticket);
  Status status;
  status.progress = at.progress;
  if (!dead_ && at.open > 0) return status;
  if (dead_) {
    if (device_->is_busy()) device_->abort();  // until then the device may use the ticket's buffers
    status = failure().value_or(Status::failed(ExitCode::comm, "the NCCL channel was aborted"));
  } else {
    status.state = Status::State::done;
  }
  std::swap(at, tickets_.back());
  tickets_.pop_back();
  return status;
}

Status NcclChannel::health() {
  if (!dead_) {
    if (Status side = side_->health(); side.state == Status::State::failed) fail(side);
  }
  return failure().value_or(Status());
}

void NcclChannel::advance() {
  const auto failed = handshake_.poll([this](const Handshake::Note& note) {
    const Op::Kind own = note.kind == Op::Kind::send ? Op::Kind::recv : Op::Kind::send;
    Queue& of = queue(own, note.peer);
    of.told_bytes.push(note.bytes);
    if (of.told_bytes.size() <= of.messages.size()) match(own, note.peer, of.told_bytes.size() - 1);
  });
  if (failed) return fail(*failed);
  while (!dead_) {
    if (!device_->is_idle()) {
      if (!device_->poll()) return;
      finish_group();
    } else if (!start_group()) {
      return;
    }
  }
}

bool NcclChannel::start_group() {
  for (; !batches_.empty() && batches_.front().open == 0; ++first_batch_) batches_.pop();
  if (batches_.empty() || batches_.front().unmatched > 0) return false;
  parts_.clear();
  for (int peer = 0; peer < size(); ++peer) {
    for (const Op::Kind kind : kBoth) {
      Queue& of = queue(kind, peer);
      if (of.messages.empty() || of.messages.front().batch != first_batch_) continue;
      Message& message = of.messages.front();
      const Buffer& buffer = message.op->buffer;
      const size_t length_bytes = kind == Op::Kind::send ? buffer.bytes : of.told_bytes.front();
      const size_t part_bytes = std::min(limit_bytes_, length_bytes - message.moved_bytes);
      if (part_bytes == 0) {  // an empty message: the notes were all there is to it
        finish_message(kind, peer);
        return true;
      }
      parts_.push_back({kind, peer, static_cast<std::byte*>(buffer.data) + message.moved_bytes, part_bytes, buffer.memory});
    }
  }
  device_->start(parts_);
  return true;
}

void NcclChannel::finish_group() {
  for (const DeviceLine::Part& part : device_->parts()) {
    Queue& of = queue(part.kind, part.peer);
    Message& message = of.messages.front();
    message.moved_bytes += part.bytes;
    ++posted(message.ticket).progress;
    const size_t length_bytes = part.kind == Op::Kind::send ? message.op->buffer.bytes : of.told_bytes.front();
    if (message.moved_bytes == length_bytes) finish_message(part.kind, part.peer);
  }
}

void NcclChannel::finish_message(Op::Kind kind, int peer) {
  Queue& of = queue(kind, peer);
  const Message message = of.messages.pop();
  of.told_bytes.pop();
  message.op->received = kind == Op::Kind::recv ? message.moved_bytes : 0;
  --batch(message.batch).open;
  --posted(message.ticket).open;
}

std::vector<int> NcclChannel::waiting_for(Ticket ticket) const {
  std::vector<int> unheard, open;
  for (int peer = 0; peer < size(); ++peer) {
    bool is_open = false, is_unheard = false;
    for (const Op::Kind kind : kBoth) {
      const Queue& of = queue(kind, peer);
      size_t at = 0;
      for (const Message& message : of.messages) {
        const bool is_own = message.ticket == ticket;
        is_open = is_open || is_own;
        is_unheard = is_unheard || (is_own && at >= of.matched());
        ++at;
      }
    }
    if (is_open) open.push_back(peer);
    if (is_unheard) unheard.push_back(peer);
  }
  return unheard.empty() ? open : unheard;  // who has not even come hides who only waits for the same
}

// NCCL may see that a peer's communicator is gone before that peer's own words have come over the side channel: they say more.
Status NcclChannel::cause_of(const CommError& error) {
  for (const Stopwatch waited; waited.seconds() < kLateWords_s; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    if (Status side = side_->health(); side.state == Status::State::failed) return side;
  }
  return Status::failed(error.code(), error.what());
}

std::optional<Status> NcclChannel::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void NcclChannel::fail(const Status& status) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = status;
  dead_ = true;
}

// Peers are told first: NCCL may take half a second to end a communicator.
void NcclChannel::abort(ExitCode code, std::string_view why) noexcept {
  side_->abort(code, why);
  try {
    fail(Status::failed(code, fmt::format("rank {}: {}", member(rank()), why)));
  } catch (...) {  // no memory for the text
    dead_ = true;
  }
  device_->abort();
}

}  // namespace thinwire::comm

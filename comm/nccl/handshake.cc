#include "comm/nccl/handshake.h"

#include <algorithm>
#include <string>

namespace thinwire::comm {

void Handshake::announce(std::span<const Op> ops) {
  if (ops.empty()) return;
  std::unique_ptr<Letter> letter;
  if (spare_.empty()) {
    letter = std::make_unique<Letter>();
  } else {
    letter = std::move(spare_.back());
    spare_.pop_back();
  }
  letter->notes.resize(ops.size());
  letter->ops.clear();
  for (size_t i = 0; i < ops.size(); ++i) {
    ByteWriter writer(letter->notes[i]);
    writer.write(static_cast<uint8_t>(ops[i].kind));
    writer.write(static_cast<uint64_t>(ops[i].buffer.bytes));
    letter->ops.push_back({.kind = Op::Kind::send, .peer = ops[i].peer, .buffer = {letter->notes[i].data(), kNoteBytes}});
  }
  letter->ticket = side_.post(letter->ops);
  sent_.push_back(std::move(letter));
  for (const Op& op : ops) {
    ++ears_[static_cast<size_t>(op.peer)].awaited;
    listen(op.peer);
  }
}

void Handshake::listen(int peer) {
  Ear& ear = ears_[static_cast<size_t>(peer)];
  if (ear.listening || ear.awaited == 0) return;
  ear.op = {.kind = Op::Kind::recv, .peer = peer, .buffer = {ear.bytes.data(), kNoteBytes}};
  ear.ticket = side_.post({&ear.op, 1});
  ear.listening = true;
}

std::optional<Status> Handshake::poll(FunctionRef<void(const Note&)> take) {
  for (int peer = 0; peer < static_cast<int>(ears_.size()); ++peer) {
    Ear& ear = ears_[static_cast<size_t>(peer)];
    while (ear.listening) {
      Status status = side_.poll(ear.ticket);
      if (status.state == Status::State::pending) break;
      ear.listening = false;
      if (status.state == Status::State::failed) return status;
      --ear.awaited;
      take(read(peer));
      listen(peer);
    }
  }
  for (size_t i = 0; i < sent_.size();) {
    Status status = side_.poll(sent_[i]->ticket);
    if (status.state == Status::State::pending) {
      ++i;
      continue;
    }
    std::swap(sent_[i], sent_.back());
    spare_.push_back(std::move(sent_.back()));
    sent_.pop_back();
    if (status.state == Status::State::failed) return status;
  }
  Status health = side_.health();
  return health.state == Status::State::failed ? std::optional(std::move(health)) : std::nullopt;
}

Handshake::Note Handshake::read(int peer) const {
  const Ear& ear = ears_[static_cast<size_t>(peer)];
  const auto kind = load_le<uint8_t>(ear.bytes.data());
  if (ear.op.received != kNoteBytes || kind > static_cast<uint8_t>(Op::Kind::recv)) {
    throw CommError("rank " + std::to_string(side_.member(peer)) + " sent a note about a message that makes no sense: " +
                    std::to_string(ear.op.received) + " bytes, kind " + std::to_string(kind));
  }
  return {peer, static_cast<Op::Kind>(kind), load_le<uint64_t>(ear.bytes.data() + sizeof kind)};
}

}  // namespace thinwire::comm

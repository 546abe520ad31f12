#include "comm/grpc/line.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace thinwire::comm {

namespace {
constexpr size_t kCopiedBytes = 4096;  // up to here a copy costs less than waiting for gRPC to let go

grpc::ByteBuffer to_buffer(std::span<const grpc::Slice> slices) { return {slices.data(), slices.size()}; }
}  // namespace

class Line::Ear final : public StreamListener {
 public:
  Ear(std::shared_ptr<Line> line, int peer) : line_(std::move(line)), peer_(peer) {}
  void on_frame(Incoming frame) override { line_->on_frame(peer_, std::move(frame)); }
  void on_written() override { line_->on_written(peer_); }
  void on_end(const std::string& why) override { line_->on_end(peer_, why); }

 private:
  const std::shared_ptr<Line> line_;
  const int peer_;
};

// gRPC calls release() when it no longer reads the bytes.
struct Line::Hold {
  std::shared_ptr<Line> line;
  Peer& peer;
  std::shared_ptr<Posted> posted;
  static void release(void* hold) {
    const std::unique_ptr<Hold> own(static_cast<Hold*>(hold));
    own->posted->parts.fetch_add(1, std::memory_order_relaxed);
    own->posted->left.fetch_sub(1, std::memory_order_release);
    own->peer.held_slices.fetch_sub(1, std::memory_order_release);
    own->line->changed();
  }
};

Line::Line(LineIdentity identity) : identity_(std::move(identity)), peers_(identity_.members.size()) {
  Peer& self = at(identity_.index);
  self.has_greeted = self.has_ended = self.has_said_bye = true;
}

std::string Line::who(int peer) const {
  const auto host = hosts_.find(peer);
  const std::string rank = "rank " + std::to_string(identity_.members[static_cast<size_t>(peer)]);
  return host == hosts_.end() || host->second == identity_.host ? rank : rank + " on " + host->second;
}

Hello Line::hello_to(int peer) const {
  Hello hello;
  hello.from = static_cast<uint32_t>(identity_.members[static_cast<size_t>(identity_.index)]);
  hello.to = static_cast<uint32_t>(identity_.members[static_cast<size_t>(peer)]);
  hello.session = identity_.session;
  hello.line = identity_.name;
  hello.host = identity_.host;
  return hello;
}

void Line::connect(int peer, const std::shared_ptr<grpc::Channel>& channel) {
  const std::lock_guard lock(mutex_);
  at(peer).stream = at(peer).kept = open_stream(channel, std::make_shared<Ear>(shared_from_this(), peer), identity_.alive);
  at(peer).granted_bytes = kWindowBytes;
  note(peer, {FrameHeader::Kind::hello}, encode(hello_to(peer)));
  pump(peer);
}

void Line::accept(int peer, std::shared_ptr<AcceptedStream> stream, const Hello& hello) {
  {
    const std::lock_guard lock(mutex_);
    at(peer).stream = stream;
    at(peer).granted_bytes = kWindowBytes;
    at(peer).is_writing = true;  // nothing is written before there is an ear for its end
    note(peer, {FrameHeader::Kind::hello}, encode(hello_to(peer)));
    on_hello(peer, hello);
    if (told_) tell(peer, *told_);  // what was said before the peer came: it must hear of it
  }
  stream->listen(std::make_shared<Ear>(shared_from_this(), peer));
  on_written(peer);
}

bool Line::misses(int peer) const {
  const std::lock_guard lock(mutex_);
  return at(peer).stream == nullptr && !at(peer).has_ended;
}

std::vector<int> Line::not_greeted() const {
  const std::lock_guard lock(mutex_);
  std::vector<int> peers;
  for (int peer = 0; peer < static_cast<int>(peers_.size()); ++peer) {
    if (!at(peer).has_greeted) peers.push_back(peer);
  }
  return peers;
}

// ---------------------------------------------------------------------------------------------------------------- sending

void Line::note(int peer, const FrameHeader& header, ConstBytes payload) {
  const auto head = encode(header);
  std::vector<std::byte> frame(head.begin(), head.end());
  frame.insert(frame.end(), payload.begin(), payload.end());
  at(peer).notes.push_back(std::move(frame));
}

void Line::send(int peer, ConstBytes message, Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (failure_) return;
  Outgoing out{.bytes = message};
  if (message.size() <= kCopiedBytes) {
    out.own.assign(message.begin(), message.end());
    out.bytes = out.own;  // a moved vector keeps its memory
  } else {
    out.posted = tickets_[ticket];
    if (out.posted == nullptr) out.posted = tickets_[ticket] = std::make_shared<Posted>();
    ++out.posted->left;
  }
  at(peer).messages.push_back(std::move(out));
  pump(peer);
}

// Starts the next write, if one is due: notes first, then messages as far as the peer's credit goes.
void Line::pump(int peer) {
  Peer& to = at(peer);
  if (to.stream == nullptr || to.is_writing || to.has_ended || to.bye_sent) return;
  if (!to.notes.empty()) {
    const std::vector<std::byte> frame = std::move(to.notes.front());
    to.notes.pop_front();
    const grpc::Slice slice(frame.data(), frame.size());
    to.is_writing = true;
    to.stream->write(to_buffer({&slice, 1}));
    return;
  }
  if (to.has_greeted && !to.messages.empty()) {
    write_message(peer);
    return;
  }
  if (to.bye_queued && to.messages.empty()) {
    to.bye_sent = true;
    const auto head = encode(FrameHeader{FrameHeader::Kind::bye});
    const grpc::Slice slice(head.data(), head.size());
    to.is_writing = true;
    to.stream->write(to_buffer({&slice, 1}));
  }
}

void Line::write_message(int peer) {
  Peer& to = at(peer);
  Outgoing& out = to.messages.front();
  const size_t part_bytes = std::min(kPartBytes, out.bytes.size() - out.sent_bytes);
  if (to.credit_bytes < part_bytes + kFrameHeaderBytes) return;
  to.credit_bytes -= part_bytes + kFrameHeaderBytes;
  const auto head = out.has_begun ? encode(FrameHeader{FrameHeader::Kind::part, 0, out.sent_bytes})
                                  : encode(FrameHeader{FrameHeader::Kind::message, 0, out.bytes.size()});
  const ConstBytes part = out.bytes.subspan(out.sent_bytes, part_bytes);
  out.has_begun = true;
  out.sent_bytes += part_bytes;
  const bool is_last = out.sent_bytes == out.bytes.size();
  std::vector<grpc::Slice> slices;
  slices.emplace_back(head.data(), head.size());
  if (out.posted != nullptr) {
    ++to.held_slices;
    ++out.posted->left;
    auto hold = std::make_unique<Hold>(Hold{shared_from_this(), to, out.posted});
    slices.emplace_back(const_cast<std::byte*>(part.data()), part.size(), &Hold::release, hold.release());  // gRPC only reads it
  } else if (!part.empty()) {
    slices.emplace_back(part.data(), part.size());
  }
  if (is_last) {
    if (out.posted != nullptr) --out.posted->left;
    to.messages.pop_front();
  }
  to.is_writing = true;
  to.stream->write(to_buffer(slices));
}

void Line::on_written(int peer) {
  const std::lock_guard lock(mutex_);
  if (at(peer).has_ended) return;
  at(peer).is_writing = false;
  pump(peer);
  close_if_parted(at(peer));
  changed();
}

// ------------------------------------------------------------------------------------------------------------- receiving

void Line::on_frame(int peer, Incoming frame) {
  std::string nonsense;
  try {
    if (frame.size() < kFrameHeaderBytes) throw CorruptData("a frame of " + std::to_string(frame.size()) + " bytes has no header");
    std::array<std::byte, kFrameHeaderBytes> head;
    frame.copy(0, head);
    handle(peer, parse_header(head, frame.size() - kFrameHeaderBytes), frame);
    return;
  } catch (const CorruptData& e) {
    nonsense = e.what();
  }
  const std::lock_guard lock(mutex_);
  fail_locked(ExitCode::comm, who(peer) + " sent bytes that make no sense: " + nonsense);
  if (at(peer).stream != nullptr) at(peer).stream->cancel();
}

void Line::handle(int peer, const FrameHeader& header, Incoming& frame) {
  using Kind = FrameHeader::Kind;
  const std::lock_guard lock(mutex_);
  Peer& from = at(peer);
  const size_t payload_bytes = frame.size() - kFrameHeaderBytes;
  std::vector<std::byte> text;
  if (header.kind == Kind::hello || header.kind == Kind::abort) {
    text.resize(payload_bytes);
    frame.copy(kFrameHeaderBytes, text);
  }
  if (header.kind == Kind::hello) {
    const Hello hello = parse_hello(text), expected = hello_to(peer);
    if (from.has_greeted || hello.session != expected.session || hello.line != expected.line || hello.from != expected.to ||
        hello.to != expected.from)
      throw CorruptData("a hello of somebody else");
    return on_hello(peer, hello);
  }
  if (!from.has_greeted || from.has_said_bye) throw CorruptData("a frame before the hello or after the bye");
  switch (header.kind) {
    case Kind::message:
    case Kind::part: {
      const bool begins = header.kind == Kind::message;
      if (begins != (from.message_left_bytes == 0)) throw CorruptData("a message within a message, or a part of none");
      if (begins) from.message_left_bytes = from.message_bytes = header.value;
      if (payload_bytes > from.message_left_bytes || (!begins && header.value != from.message_bytes - from.message_left_bytes))
        throw CorruptData("parts that do not add up to their message");
      if (frame.size() > from.granted_bytes) throw CorruptData("more than it was allowed to send");
      from.granted_bytes -= frame.size();
      from.message_left_bytes -= payload_bytes;
      from.arrived.emplace_back(header, std::move(frame));
      break;
    }
    case Kind::credit:
      if (header.value > kWindowBytes) throw CorruptData("a credit beyond the window");
      from.credit_bytes += header.value;
      pump(peer);
      break;
    case Kind::abort:
      is_aborted_ = true;
      fail_locked(static_cast<ExitCode>(header.code & 0xff), printable(text));
      break;
    case Kind::bye:
      from.has_said_bye = true;
      close_if_parted(from);
      break;
    case Kind::hello: break;
  }
  changed();
}

void Line::on_hello(int peer, const Hello& hello) {
  Peer& from = at(peer);
  from.has_greeted = true;
  from.credit_bytes = hello.window_bytes;
  hosts_[peer] = printable(bytes_of(std::string_view(hello.host)));
  pump(peer);
  changed();
}

void Line::on_end(int peer, const std::string& why) {
  const std::lock_guard lock(mutex_);
  Peer& from = at(peer);
  if (std::exchange(from.has_ended, true)) return;
  for (const Outgoing& out : from.messages) {
    if (out.posted != nullptr) --out.posted->left;
  }
  from.messages.clear();
  from.notes.clear();
  from.is_writing = false;
  from.stream = nullptr;
  from.why_ended = why.empty() ? "it closed its connection" : why;
  if (!from.has_said_bye && !is_closing_) fail_locked(ExitCode::comm, "lost " + who(peer) + ": " + from.why_ended);
  changed();
}

std::optional<std::pair<FrameHeader, Incoming>> Line::take(int peer) {
  const std::lock_guard lock(mutex_);
  auto& arrived = at(peer).arrived;
  if (arrived.empty()) return std::nullopt;
  auto first = std::move(arrived.front());
  arrived.pop_front();
  return first;
}

void Line::consumed(int peer, size_t frame_bytes) {
  const std::lock_guard lock(mutex_);
  Peer& from = at(peer);
  from.consumed_bytes += frame_bytes;
  if (from.consumed_bytes < kWindowBytes / 4 || from.has_ended || from.has_said_bye) return;
  note(peer, {FrameHeader::Kind::credit, 0, from.consumed_bytes});
  from.granted_bytes += std::exchange(from.consumed_bytes, 0);
  pump(peer);
}

bool Line::has_left(int peer) const {
  const std::lock_guard lock(mutex_);
  return at(peer).has_said_bye && at(peer).arrived.empty();
}

std::optional<std::string> Line::lost(int peer) const {
  const std::lock_guard lock(mutex_);
  if (!at(peer).has_ended || at(peer).has_said_bye) return std::nullopt;
  return "lost " + who(peer) + ": " + at(peer).why_ended;
}

Line::Sends Line::sends_of(Ticket ticket) const {
  const std::lock_guard lock(mutex_);
  const auto posted = tickets_.find(ticket);
  if (posted == tickets_.end()) return {};
  return {posted->second->left.load(std::memory_order_acquire), posted->second->parts.load(std::memory_order_relaxed)};
}

std::vector<int> Line::sends_to(Ticket ticket) const {
  const std::lock_guard lock(mutex_);
  std::vector<int> peers;
  const auto posted = tickets_.find(ticket);
  if (posted == tickets_.end()) return peers;
  for (int peer = 0; peer < static_cast<int>(peers_.size()); ++peer) {
    const Peer& to = at(peer);
    const bool waits =
        std::any_of(to.messages.begin(), to.messages.end(), [&](const Outgoing& out) { return out.posted == posted->second; });
    if (waits || to.held_slices > 0) peers.push_back(peer);
  }
  return peers;
}

void Line::forget(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  tickets_.erase(ticket);
}

}  // namespace thinwire::comm

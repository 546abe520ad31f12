#include "comm/grpc/link_server.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinwire::comm {

namespace {
constexpr size_t kMostStrangers = 256;    // streams that have not greeted; beyond it the oldest goes
constexpr size_t kMostParkedOfRank = 64;  // lines that a peer opened and we have not
constexpr int kMostRefusalLines = 20;

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal() { Finish({grpc::StatusCode::UNIMPLEMENTED, "this is a rank of Thinwire"}); }
  void OnDone() override { delete this; }
};
}  // namespace

LinkServer::LinkServer(int rank, int world, const std::string& ip, PortRange ports) : rank_(rank), world_(world), log_(log::current()) {
  served_ = serve(*this, ip, ports, "choose other comm.grpc.ports, or another comm.grpc.address");
}

LinkServer::~LinkServer() {
  served_.server->Shutdown(std::chrono::system_clock::now());  // cancels what is left
  served_.server->Wait();
}

void LinkServer::admit(const std::string& session) {
  std::vector<Early> early;
  {
    const std::lock_guard lock(mutex_);
    session_ = session;
    early.swap(early_);
  }
  for (auto& one : early) on_greeting(std::move(one.stream), std::move(one.frame));
}

grpc::ServerGenericBidiReactor* LinkServer::CreateReactor(grpc::GenericCallbackServerContext* context) {
  if (context->method() != kStreamMethod) return new Refusal;  // deletes itself, as gRPC asks
  std::shared_ptr<AcceptedStream> accepted, oldest;
  auto* reactor = accept_stream(*context, *this, accepted);
  {
    const std::lock_guard lock(mutex_);
    strangers_.push_back(accepted);
    if (strangers_.size() > kMostStrangers) {
      oldest = strangers_.front();
      strangers_.pop_front();
    }
  }
  if (oldest != nullptr) refuse(*oldest, "it did not greet, and too many others want to");
  return reactor;
}

Hello LinkServer::judge(const Incoming& frame) const {
  if (frame.size() < kFrameHeaderBytes || frame.size() > kFrameHeaderBytes + 4 * kMostTextBytes) {
    throw CorruptData(fmt::format("a frame of {} bytes is no greeting", frame.size()));
  }
  std::vector<std::byte> bytes(frame.size());
  frame.copy(0, bytes);
  const ConstBytes payload = ConstBytes(bytes).subspan(kFrameHeaderBytes);
  if (parse_header(ConstBytes(bytes).first(kFrameHeaderBytes), payload.size()).kind != FrameHeader::Kind::hello) {
    throw CorruptData("its first frame is no greeting");
  }
  Hello hello = parse_hello(payload);
  const std::lock_guard lock(mutex_);
  if (session_.empty() || hello.session != session_) throw CorruptData("it belongs to another run");
  if (hello.to != static_cast<uint32_t>(rank_) || hello.from <= hello.to || hello.from >= static_cast<uint32_t>(world_)) {
    throw CorruptData(fmt::format("rank {} calls rank {}, and this is rank {} of {}", hello.from, hello.to, rank_, world_));
  }
  return hello;
}

void LinkServer::on_greeting(std::shared_ptr<AcceptedStream> stream, Incoming frame) {
  on_silent_end(*stream);  // no stranger any more
  {
    const std::lock_guard lock(mutex_);
    if (session_.empty() && early_.size() < kMostStrangers) {
      early_.push_back({std::move(stream), std::move(frame)});
      return;
    }
  }
  Hello hello;
  try {
    hello = judge(frame);
  } catch (const CorruptData& e) {
    return refuse(*stream, e.what());
  }
  std::shared_ptr<Line> line;
  int peer = 0;
  std::string why;
  {
    const std::lock_guard lock(mutex_);
    const Key key(static_cast<int>(hello.from), hello.line);
    const auto of_rank = std::count_if(parked_.begin(), parked_.end(), [&](const auto& one) { return one.first.first == key.first; });
    if (!seen_.insert(key).second) {
      why = fmt::format("rank {} is connected already", hello.from);
    } else if (const auto at = awaited_.find(key); at != awaited_.end()) {
      line = at->second.line.lock();
      peer = at->second.peer;
      awaited_.erase(at);
      if (line == nullptr) why = "its line is closed";
    } else if (static_cast<size_t>(of_rank) >= kMostParkedOfRank) {
      why = fmt::format("rank {} opens more lines than this rank", hello.from);
    } else {
      parked_[key] = {std::move(stream), std::move(hello)};
      return;
    }
  }
  if (!why.empty()) return refuse(*stream, why);
  line->accept(peer, std::move(stream), hello);
}

void LinkServer::on_silent_end(AcceptedStream& stream) {
  const std::lock_guard lock(mutex_);
  strangers_.remove_if([&](const auto& one) { return one.get() == &stream; });
  std::erase_if(early_, [&](const auto& one) { return one.stream.get() == &stream; });
  std::erase_if(parked_, [&](const auto& one) { return one.second.stream.get() == &stream; });
}

void LinkServer::refuse(AcceptedStream& stream, const std::string& why) {
  bool is_told;
  {
    const std::lock_guard lock(mutex_);
    is_told = refusals_++ < kMostRefusalLines;
  }
  if (is_told) {
    log::adopt(log_);
    log::warn("refused a connection from {}: {}", stream.peer(), why);
  }
  stream.cancel();
}

void LinkServer::expect(const std::shared_ptr<Line>& line, int rank, int peer) {
  Parked parked;
  {
    const std::lock_guard lock(mutex_);
    const Key key(rank, line->name());
    const auto at = parked_.find(key);
    if (at == parked_.end()) {
      awaited_[key] = {line, peer};
      return;
    }
    parked = std::move(at->second);
    parked_.erase(at);
  }
  line->accept(peer, std::move(parked.stream), parked.hello);
}

void LinkServer::forget(const Line& line) {
  const std::lock_guard lock(mutex_);
  std::erase_if(awaited_, [&](const auto& one) { return one.first.second == line.name(); });
}

}  // namespace thinwire::comm

#include "comm/rendezvous/store.h"

#include <fmt/format.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "base/error.h"
#include "base/stopwatch.h"
#include "comm/grpc/connection.h"
#include "comm/rendezvous/interfaces.h"
#include "comm/rendezvous/store_wire.h"

namespace thinwire::comm {

namespace {
constexpr double kAnswer_s = 30;           // what a request that waits for nothing may take
constexpr double kFirstAnswer_s = 2;       // and the first one to a port where somebody else may listen
constexpr const char* kServing = "store";  // a key that is asked for to see who answers

struct Answer {
  grpc::Status status;
  StoreReply reply;
};

Answer call(grpc::GenericStub& stub, const StoreRequest& request, double limit_s) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(static_cast<int64_t>(limit_s * 1e6)));
  const grpc::ByteBuffer out = to_buffer(encode(request));
  grpc::ByteBuffer in;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, kStoreMethod, {}, &out, &in, [&](grpc::Status status) { done.set_value(std::move(status)); });
  Answer answer{done.get_future().get(), {}};
  if (!answer.status.ok()) return answer;
  try {
    answer.reply = parse_store_reply(to_bytes(in, kMostRequestBytes));
  } catch (const CorruptData& e) {
    answer.status = {grpc::StatusCode::INTERNAL, e.what()};
  }
  return answer;
}
}  // namespace

struct Store::Connection {
  std::string run, ip;
  int port = 0;
  std::unique_ptr<grpc::GenericStub> stub;

  StoreReply ask(StoreRequest request, double limit_s) {
    request.run = run;
    Answer answer = call(*stub, request, limit_s);
    if (!answer.status.ok()) {
      throw CommError(fmt::format("rank 0's store at {} does not answer any more: {}", with_port(ip, port), answer.status.error_message()));
    }
    if (answer.reply.kind == StoreReply::Kind::refused) {
      throw CommError(fmt::format("rank 0's store at {} refused '{}': {}", with_port(ip, port), request.key, answer.reply.text));
    }
    if (answer.reply.kind == StoreReply::Kind::over)
      throw CommError(fmt::format("rank 0's store at {} is gone: {}", with_port(ip, port), answer.reply.text));
    return answer.reply;
  }
};

// Every candidate in turn, again and again: rank 0 may come later than we do, and took the first port that was free.
Store::Store(const Meeting& meeting, double limit_s, const std::function<void(const std::string&, double)>& on_waiting)
    : connection_(std::make_unique<Connection>()) {
  connection_->run = meeting.run;
  const Stopwatch waited;
  double told_s = 0;
  std::string why;
  const auto give_up_after = [&](double seconds) {
    if (waited.seconds() <= seconds) return;
    throw CommError(fmt::format("rank 0's store did not answer at {} within {:g} s: {}; start rank 0, or correct {}",
                                with_port(meeting.host, meeting.port), limit_s, why, meeting.source));
  };
  for (;;) {
    std::vector<std::string> ips;
    try {
      ips = resolve(meeting.host);
    } catch (const CommError& e) {  // a name may come later than who asks for it, as that of a Kubernetes pod does
      why = e.what();
    }
    if (ips.empty()) give_up_after(limit_s);
    for (const std::string& ip : ips) {
      for (int port = meeting.port; port < meeting.port + meeting.num_ports; ++port) {
        auto stub = std::make_unique<grpc::GenericStub>(connect_to(ip, port));
        const StoreRequest hello{StoreRequest::Kind::add, meeting.run, kServing, "0"};
        const Answer answer = call(*stub, hello, kFirstAnswer_s);
        if (answer.status.ok() && answer.reply.kind == StoreReply::Kind::value) {
          connection_->ip = ip;
          connection_->port = port;
          connection_->stub = std::move(stub);
          return;
        }
        const std::string this_time = answer.status.ok() ? answer.reply.text : answer.status.error_message();
        if (why.empty() || answer.status.ok()) why = fmt::format("{}: {}", with_port(ip, port), this_time);
        give_up_after(limit_s);
      }
    }
    if (on_waiting && waited.seconds() - told_s >= 1) {
      told_s = waited.seconds();
      on_waiting(why, told_s);
    }
    why.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(waited.seconds() < 2 ? 20 : 200));
  }
}

Store::~Store() = default;

void Store::set(const std::string& key, const std::string& value) {
  connection_->ask({StoreRequest::Kind::set, {}, key, value}, kAnswer_s);
}

std::optional<std::string> Store::get(const std::string& key, double wait_s) {
  const StoreRequest request{StoreRequest::Kind::get, connection_->run, key, {}};
  const Answer answer = call(*connection_->stub, request, std::max(wait_s, 0.05));
  if (answer.status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return std::nullopt;
  if (answer.status.ok() && answer.reply.kind == StoreReply::Kind::value) return answer.reply.text;
  const std::string why = answer.status.ok() ? answer.reply.text : answer.status.error_message();
  throw CommError(fmt::format("rank 0's store at {} does not answer any more: {}", address(), why));
}

int64_t Store::add(const std::string& key, int64_t amount) {
  const StoreReply reply = connection_->ask({StoreRequest::Kind::add, {}, key, std::to_string(amount)}, kAnswer_s);
  const auto sum = whole_number(reply.text);
  if (!sum) throw CommError(fmt::format("rank 0's store at {} answered '{}' where a number was due", address(), reply.text.substr(0, 100)));
  return *sum;
}

std::string Store::address() const { return with_port(connection_->ip, connection_->port); }
const std::string& Store::ip() const { return connection_->ip; }

}  // namespace thinwire::comm

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <set>

#include "base/log.h"
#include "comm/grpc/connection.h"
#include "comm/rendezvous/store.h"
#include "comm/rendezvous/store_wire.h"

namespace thinwire::comm {

class StoreServer::Service final : public grpc::CallbackGenericService {
 public:
  Service(const Meeting& meeting, const std::string& ip) : run_(meeting.run), log_(log::current()) {
    served_ = serve(*this, ip, {meeting.port, meeting.port + meeting.num_ports - 1},
                    fmt::format("ranks meet there ({}): choose another port, or end that process", meeting.source));
  }
  ~Service() override {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
      for (Call* call : std::exchange(waiting_, {})) call->answer({StoreReply::Kind::over, "rank 0 has ended"});
    }
    served_.server->Shutdown(std::chrono::system_clock::now());
    served_.server->Wait();
  }
  int port() const { return served_.port; }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Call(*this, *context);  // gRPC wants a pointer; OnDone deletes it
  }

 private:
  // One request and its reply, which may have to wait.
  class Call final : public grpc::ServerGenericBidiReactor {
   public:
    Call(Service& service, grpc::GenericCallbackServerContext& context) : service_(service), peer_(context.peer()) {
      if (context.method() == kStoreMethod) {
        StartRead(&in_);
      } else {
        is_finished_ = true;
        Finish({grpc::StatusCode::UNIMPLEMENTED, "this is a Thinwire store"});
      }
    }
    void OnReadDone(bool ok) override {
      if (!ok) return finish(grpc::Status::CANCELLED);
      service_.handle(*this);
    }
    void answer(const StoreReply& reply) {  // once, under the service's mutex
      out_ = to_buffer(encode(reply));
      if (!std::exchange(is_finished_, true)) StartWriteAndFinish(&out_, {}, grpc::Status::OK);
    }
    void OnCancel() override {
      service_.forget(*this);
      finish(grpc::Status::CANCELLED);
    }
    void OnDone() override {
      service_.forget(*this);
      delete this;
    }
    grpc::ByteBuffer& request() { return in_; }
    const std::string& peer() const { return peer_; }
    std::string key;  // that it waits for

   private:
    void finish(const grpc::Status& status) {
      const std::lock_guard lock(service_.mutex_);
      if (!std::exchange(is_finished_, true)) Finish(status);
    }
    Service& service_;
    const std::string peer_;
    grpc::ByteBuffer in_, out_;
    bool is_finished_ = false;  // guarded by the service's mutex
  };

  void handle(Call& call) {
    StoreRequest request;
    std::string refused;
    try {
      request = parse_store_request(to_bytes(call.request(), kMostRequestBytes));
      if (request.run != run_) refused = "it belongs to another run";
    } catch (const CorruptData& e) {
      refused = e.what();
    }
    const std::lock_guard lock(mutex_);
    if (!refused.empty()) {
      if (refusals_++ < kMostRefusalLines) {
        log::adopt(log_);
        log::warn("refused a request to the store from {}: {}", call.peer(), refused);
      }
      return call.answer({StoreReply::Kind::refused, refused});
    }
    if (is_over_) return call.answer({StoreReply::Kind::over, "rank 0 has ended"});
    switch (request.kind) {
      case StoreRequest::Kind::get: return get(call, request);
      case StoreRequest::Kind::set: return set(call, request.key, request.value);
      case StoreRequest::Kind::add: return add(call, request);
    }
  }

  void get(Call& call, const StoreRequest& request) {
    if (const auto found = values_.find(request.key); found != values_.end()) return call.answer({StoreReply::Kind::value, found->second});
    call.key = request.key;
    waiting_.insert(&call);
  }
  void set(Call& call, const std::string& key, const std::string& value) {
    if (values_.size() >= kMostKeys && !values_.contains(key)) {
      return call.answer({StoreReply::Kind::refused, "the store is full"});
    }
    values_[key] = value;
    call.answer({StoreReply::Kind::value, value});
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      Call* waiter = *at;
      if (waiter->key != key) {
        ++at;
        continue;
      }
      at = waiting_.erase(at);
      waiter->answer({StoreReply::Kind::value, value});
    }
  }
  void add(Call& call, const StoreRequest& request) {
    const auto amount = whole_number(request.value), before = whole_number(values_.contains(request.key) ? values_[request.key] : "0");
    int64_t sum = 0;
    if (!amount || !before || __builtin_add_overflow(*amount, *before, &sum))
      return call.answer({StoreReply::Kind::refused, fmt::format("'{}' and what is added to it are not whole numbers", request.key)});
    set(call, request.key, std::to_string(sum));
  }
  void forget(Call& call) {
    const std::lock_guard lock(mutex_);
    waiting_.erase(&call);
  }

  static constexpr int kMostRefusalLines = 20;
  const std::string run_;
  const std::shared_ptr<log::RankLog> log_;
  std::mutex mutex_;
  std::map<std::string, std::string> values_;
  std::set<Call*> waiting_;
  bool is_over_ = false;
  int refusals_ = 0;
  Served served_;
};

StoreServer::StoreServer(const Meeting& meeting, const std::string& ip) : service_(std::make_unique<Service>(meeting, ip)) {}
StoreServer::~StoreServer() = default;
int StoreServer::port() const { return service_->port(); }

}  // namespace thinwire::comm

// Where peers reach this rank: accepts their streams, and hands each to the line that it names. Internal to grpc.
//
// Whoever connects must greet with this run's session, from a rank that may call this one; anybody else is refused with a line in the log
// and disturbs nobody. A stream may come before its line is opened here: it waits, unread.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "base/log.h"
#include "comm/grpc/connection.h"
#include "comm/grpc/line.h"

namespace thinwire::comm {

class LinkServer final : public grpc::CallbackGenericService, public StreamServer {
 public:
  LinkServer(int rank, int world, const std::string& ip, PortRange ports);
  ~LinkServer() override;  // cancels every stream, and waits until they have ended
  int port() const { return served_.port; }

  void admit(const std::string& session);  // whoever greets with it; who came before this call has waited for it
  // The stream of that rank with the line's name, now or once it comes, is the line's of `peer`.
  void expect(const std::shared_ptr<Line>& line, int rank, int peer);
  void forget(const Line& line);  // it expects nobody any more

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override;
  void on_greeting(std::shared_ptr<AcceptedStream> stream, Incoming frame) override;
  void on_silent_end(AcceptedStream& stream) override;

 private:
  using Key = std::pair<int, std::string>;  // rank, name of the line
  struct Awaited {
    std::weak_ptr<Line> line;
    int peer;
  };
  struct Parked {
    std::shared_ptr<AcceptedStream> stream;
    Hello hello;
  };
  Hello judge(const Incoming& frame) const;  // CorruptData: why not
  void refuse(AcceptedStream& stream, const std::string& why);
  struct Early {
    std::shared_ptr<AcceptedStream> stream;
    Incoming frame;
  };

  const int rank_, world_;
  const std::shared_ptr<log::RankLog> log_;
  mutable std::mutex mutex_;
  std::string session_;
  std::list<std::shared_ptr<AcceptedStream>> strangers_;  // that have not greeted, the oldest first
  std::vector<Early> early_;                              // peers may know the session before we do
  std::map<Key, Parked> parked_;
  std::map<Key, Awaited> awaited_;
  std::set<Key> seen_;  // each comes once
  int refusals_ = 0;
  Served served_;
};

}  // namespace thinwire::comm

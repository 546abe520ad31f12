// The one communication thread of a rank. Everything that crosses the wire is a job posted here: exchange, flags, hashes.
//
// Jobs run one after another in the order posted, so every rank must post the same jobs in the same order. A job may block on the wire,
// never on the thread that posted it. After a job threw, the channel is aborted and every later job fails with the same error.
// Thread-safe. The destructor lets posted jobs finish, or fail, and joins.
#pragma once
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "comm/transport.h"
#include "comm/wire.h"

namespace thinwire::comm {

class Driver {
 public:
  // Opens a channel of all the transport's ranks. timeout_s bounds the wait for any one message.
  Driver(Transport& transport, double timeout_s);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  int rank() const;
  int size() const;

  using Job = std::function<void(Wire&)>;
  // The future is ready when the job has run and what it captured is gone; get() rethrows what it threw. `name` is for messages.
  std::future<void> post(std::string name, Job job);
  // post() and wait. Not from inside a job.
  void run(std::string name, Job job);

  // From any thread: this rank is going down with `code` because of `why`; tells the peers and fails all jobs.
  void abort(ExitCode code, const std::string& why) noexcept;

  WireCounters counters() const;  // of all jobs finished so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace thinwire::comm

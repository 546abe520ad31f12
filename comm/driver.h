// The communication threads of a rank. Everything that crosses the wire is a task posted here: exchange, flags, hashes.
//
// A driver has lanes, each a thread with a channel of its own: one for control (flags, hashes, agreements) and some for bulk, so that one
// bucket is encoded while another is on the wire, and a flag does not wait behind either; and one for the background, for what waits for
// disks and may have to say something at any time. Tasks of a lane run one after another in the order posted; so every rank must post the
// same tasks to a lane in the same order. A task may block on the wire, never on the thread that posted it. After a task threw, all
// channels are aborted, and every task that has not ended fails with the same error. Each lane notes its tasks in the flight record of the
// thread that made the driver (base/flight.h), numbered: the k-th task of a lane is the same on every rank. Thread-safe. The destructor
// lets posted tasks finish, or fail, and joins.
#pragma once
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "comm/transport.h"
#include "comm/wire.h"

namespace thinwire::log {
struct RankLog;
}
namespace thinwire::trace {
class Recorder;
}

namespace thinwire::comm {

// A piece of work that may be posted again and again, without allocating. Must outlive its run: wait for it before it goes.
class Task {
 public:
  // `name` is for messages: on whose behalf the wire is used.
  Task(std::string name, std::function<void(Wire&)> job) : name_(std::move(name)), job_(std::move(job)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

 private:
  friend class Driver;
  const std::string name_;
  const std::function<void(Wire&)> job_;
  // Guarded by the driver's mutex:
  bool pending_ = false;
  std::exception_ptr error_;
  std::shared_ptr<log::RankLog> log_;       // of the thread that posted it, so that lines of the job carry its rank
  std::shared_ptr<trace::Recorder> trace_;  // likewise
  Task* next_ = nullptr;                    // behind it in the lane
};

class Driver {
 public:
  static constexpr int kControl = 0;  // the lane of what is small; bulk lanes follow it, then that of the background

  // Opens channels of all the transport's ranks, those of control and of the background over transport.control(). timeout_s bounds the wait
  // for any one message, until patience() is told otherwise. A transport that serves fewer bulk lanes than asked for gets fewer; a line of
  // the log says so.
  Driver(Transport& transport, double timeout_s, int bulk_lanes = 2);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  int rank() const;
  int size() const;
  int bulk_lanes() const;
  int bulk_lane(size_t turn) const { return 1 + static_cast<int>(turn % static_cast<size_t>(bulk_lanes())); }  // round robin
  int background_lane() const { return 1 + bulk_lanes(); }  // one thread of a rank posts to it at a time

  void post(Task& task, int lane = kControl);
  void wait(Task& task);             // until it is not pending: not from inside a task. Rethrows what it threw, once
  void settle(Task& task) noexcept;  // wait() that keeps the error to itself
  void run(std::string name, std::function<void(Wire&)> job, int lane = kControl);  // post() and wait()

  Patience& patience();

  // Of all channels, found without waiting for any message: failed once this rank or another one gave up. One thread at a time asks.
  Status health();

  // From any thread: this rank is going down with `code` because of `why`; tells the peers and fails all tasks.
  void abort(ExitCode code, const std::string& why) noexcept;

  // Of all tasks finished so far on the other lanes; busy_s: time in which some of them was at the wire.
  WireCounters counters() const;
  WireCounters background_counters() const;  // of the background's

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace thinwire::comm

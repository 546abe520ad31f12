#include "comm/driver.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/flight.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "base/trace.h"

namespace thinwire::comm {

namespace {
std::unique_ptr<Channel> open_to_all(Transport& transport, const std::string& name) {
  Group everyone;
  everyone.members.resize(static_cast<size_t>(transport.world_size()));
  std::iota(everyone.members.begin(), everyone.members.end(), 0);
  return transport.open(everyone, name);
}
}  // namespace

struct Driver::Impl {
  struct Lane {
    Lane(Transport& transport, const std::string& as, const std::shared_ptr<Patience>& patience, BusyTime* busy)
        : name(as), channel(open_to_all(transport, name)), wire(*channel, patience, busy) {}
    const std::string name;
    const std::unique_ptr<Channel> channel;
    Wire wire;  // of the lane's thread alone
    std::condition_variable wake;
    Task* first = nullptr;  // the queue, guarded by mutex
    Task* last = nullptr;
    int64_t num_tasks = 0;  // that were begun; of the lane's thread alone
    std::thread thread;
  };

  Impl(Transport& transport, double timeout_s, int bulk_lanes) : patience(std::make_shared<Patience>(timeout_s)) {
    check(bulk_lanes > 0, "there is a bulk lane");
    const int most = transport.max_bulk_lanes();
    if (bulk_lanes > most) {
      if (transport.world_rank() == 0) {
        log::info("transport {} serves {} bulk lane{}, not {}: comm.lanes is taken as {}", transport.name(), most, most == 1 ? "" : "s",
                  bulk_lanes, most);
      }
      bulk_lanes = most;
    }
    lanes.push_back(std::make_unique<Lane>(transport.control(), "control", patience, &busy));
    for (int i = 1; i <= bulk_lanes; ++i) lanes.push_back(std::make_unique<Lane>(transport, "bulk " + std::to_string(i), patience, &busy));
    lanes.push_back(std::make_unique<Lane>(transport.control(), "background", patience, nullptr));
    watch = open_to_all(transport.control(), "watch");
    for (size_t i = 0; i < lanes.size(); ++i) {
      lanes[i]->thread = std::thread([this, i, record = flight::current()] {
        flight::adopt(record, lanes[i]->name);
        trace::set_thread(i + 1 == lanes.size() ? trace::kBackgroundThread : static_cast<int>(i) + 1);  // 0 is the training thread
        serve(*lanes[i]);
      });
    }
  }

  void serve(Lane& lane) {
    std::unique_lock lock(mutex);
    for (;;) {
      lane.wake.wait(lock, [&] { return lane.first != nullptr || closing; });
      if (lane.first == nullptr) return;
      Task& task = *lane.first;
      lane.first = task.next_;
      if (!failure) {
        lock.unlock();
        execute(lane, task);
        lock.lock();
      }
      task.error_ = failure;
      task.log_ = nullptr;
      task.trace_ = nullptr;
      task.pending_ = false;
      done.notify_all();
    }
  }

  // Errors go to `failure`: a second one is a consequence of the first.
  void execute(Lane& lane, Task& task) {
    std::exception_ptr error;
    log::adopt(task.log_);
    trace::adopt(task.trace_);
    const WireCounters before = lane.wire.counters();
    const flight::Scope noted(flight::Kind::task, task.name_, lane.num_tasks++);
    try {
      lane.wire.set_purpose(task.name_);
      task.job_(lane.wire);
    } catch (...) {
      error = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex);
      WireCounters& total = &lane == lanes.back().get() ? background_counters : counters;
      total.sent_bytes += lane.wire.counters().sent_bytes - before.sent_bytes;
      total.received_bytes += lane.wire.counters().received_bytes - before.received_bytes;
      total.busy_s += lane.wire.counters().busy_s - before.busy_s;
      if (error && !failure) failure = error;
    }
    if (error) abort_because_of(error);
  }

  void abort_because_of(const std::exception_ptr& error) noexcept {
    const auto [code, why] = failure_of(error);
    abort_channels(code, why);
  }

  void abort_channels(ExitCode code, std::string_view why) noexcept {
    for (auto& lane : lanes) lane->channel->abort(code, why);
    watch->abort(code, why);
  }

  const std::shared_ptr<Patience> patience;
  BusyTime busy;
  std::vector<std::unique_ptr<Lane>> lanes;
  std::unique_ptr<Channel> watch;  // carries nothing: whoever gives up is heard on it, by a thread that waits for no message
  mutable std::mutex mutex;
  std::condition_variable done;
  std::exception_ptr failure;  // the first, guarded by mutex, as all below
  bool closing = false;
  WireCounters counters, background_counters;
};

Driver::Driver(Transport& transport, double timeout_s, int bulk_lanes) : impl_(std::make_unique<Impl>(transport, timeout_s, bulk_lanes)) {}

Driver::~Driver() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->closing = true;
  }
  for (auto& lane : impl_->lanes) lane->wake.notify_one();
  for (auto& lane : impl_->lanes) lane->thread.join();
}

int Driver::rank() const { return impl_->lanes[kControl]->channel->rank(); }
int Driver::size() const { return impl_->lanes[kControl]->channel->size(); }
int Driver::bulk_lanes() const { return static_cast<int>(impl_->lanes.size()) - 2; }

void Driver::post(Task& task, int at) {
  Impl::Lane& lane = *impl_->lanes.at(static_cast<size_t>(at));
  {
    const std::lock_guard lock(impl_->mutex);
    check(!task.pending_, "a task is posted once at a time");
    task.pending_ = true;
    task.error_ = nullptr;
    task.log_ = log::current();
    task.trace_ = trace::current();
    task.next_ = nullptr;
    (lane.first == nullptr ? lane.first : lane.last->next_) = &task;
    lane.last = &task;
  }
  lane.wake.notify_one();
}

Patience& Driver::patience() { return *impl_->patience; }
Status Driver::health() { return impl_->watch->health(); }

void Driver::settle(Task& task) noexcept {
  const flight::Scope noted(flight::Kind::wait, task.name_);
  std::unique_lock lock(impl_->mutex);
  impl_->done.wait(lock, [&] { return !task.pending_; });
}

void Driver::wait(Task& task) {
  settle(task);
  std::exception_ptr error;
  {
    const std::lock_guard lock(impl_->mutex);
    error = std::exchange(task.error_, nullptr);
  }
  if (error) std::rethrow_exception(error);
}

void Driver::run(std::string name, std::function<void(Wire&)> job, int at) {
  for (const auto& lane : impl_->lanes) check(std::this_thread::get_id() != lane->thread.get_id(), "a task does not wait for another task");
  Task task(std::move(name), std::move(job));
  post(task, at);
  wait(task);
}

void Driver::abort(ExitCode code, const std::string& why) noexcept {
  try {
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->failure) impl_->failure = std::make_exception_ptr(CommError(fmt::format("rank {}: {}", rank(), why), code));
  } catch (...) {  // out of memory for the text: the channels below still fail whatever uses them
  }
  impl_->abort_channels(code, why);
}

WireCounters Driver::counters() const {
  const std::lock_guard lock(impl_->mutex);
  WireCounters all = impl_->counters;
  all.busy_s = impl_->busy.seconds();  // lanes overlap: no sum
  return all;
}

WireCounters Driver::background_counters() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->background_counters;
}

}  // namespace thinwire::comm

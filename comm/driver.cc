#include "comm/driver.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <thread>

#include "base/check.h"
#include "base/log.h"

namespace thinwire::comm {

namespace {
std::unique_ptr<Channel> open_to_all(Transport& transport) {
  Group everyone;
  everyone.members.resize(static_cast<size_t>(transport.world_size()));
  std::iota(everyone.members.begin(), everyone.members.end(), 0);
  return transport.open(everyone, "driver");
}

void abort_because_of(Channel& channel, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    channel.abort(e.code(), e.what());
  } catch (const std::exception& e) {
    channel.abort(ExitCode::other, e.what());
  } catch (...) {
    channel.abort(ExitCode::other, "an exception that is no std::exception");
  }
}
}  // namespace

struct Driver::Impl {
  struct Posted {
    std::string name;
    Job job;
    std::promise<void> done;
    std::shared_ptr<log::RankLog> log;  // of the thread that posted it, so that lines of the job carry its rank
  };

  Impl(Transport& transport, double timeout_s) : channel(open_to_all(transport)), wire(*channel, timeout_s) {
    thread = std::thread([this] { serve(); });
  }

  void serve() {
    for (;;) {
      std::unique_lock lock(mutex);
      wake.wait(lock, [this] { return !queue.empty() || closing; });
      if (queue.empty()) return;
      Posted posted = std::move(queue.front());
      queue.pop_front();
      const std::exception_ptr failed = failure;
      lock.unlock();
      if (failed) {
        posted.job = nullptr;
        posted.done.set_exception(failed);
      } else {
        execute(posted);
      }
    }
  }

  void execute(Posted& posted) {
    std::exception_ptr error;
    log::adopt(posted.log);
    try {
      wire.set_purpose(std::move(posted.name));
      posted.job(wire);
    } catch (...) {
      error = std::current_exception();
    }
    posted.job = nullptr;
    {
      const std::lock_guard lock(mutex);
      counters = wire.counters();
      if (error && !failure) failure = error;
    }
    if (!error) return posted.done.set_value();
    abort_because_of(*channel, error);
    posted.done.set_exception(error);
  }

  const std::unique_ptr<Channel> channel;
  Wire wire;  // of the thread below alone
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::deque<Posted> queue;    // guarded by mutex, as all below
  std::exception_ptr failure;  // the first; every later job fails with it
  bool closing = false;
  WireCounters counters;
  std::thread thread;
};

Driver::Driver(Transport& transport, double timeout_s) : impl_(std::make_unique<Impl>(transport, timeout_s)) {}

Driver::~Driver() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->closing = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
}

int Driver::rank() const { return impl_->channel->rank(); }
int Driver::size() const { return impl_->channel->size(); }

std::future<void> Driver::post(std::string name, Job job) {
  Impl::Posted posted{std::move(name), std::move(job), {}, log::current()};
  std::future<void> done = posted.done.get_future();
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->queue.push_back(std::move(posted));
  }
  impl_->wake.notify_one();
  return done;
}

void Driver::run(std::string name, Job job) {
  check(std::this_thread::get_id() != impl_->thread.get_id(), "a job does not wait for another job");
  post(std::move(name), std::move(job)).get();
}

void Driver::abort(ExitCode code, const std::string& why) noexcept {
  try {
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->failure) impl_->failure = std::make_exception_ptr(CommError(fmt::format("rank {}: {}", rank(), why), code));
  } catch (...) {  // out of memory for the text: the channel below still fails whatever uses it
  }
  impl_->channel->abort(code, why);
}

WireCounters Driver::counters() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counters;
}

}  // namespace thinwire::comm

// A thread that does one thing after another for its owner, and is there until that goes.
//
// For work that comes again and again: what it has allocated serves the next, where each new thread might leave as much again behind, in
// another arena of the allocator. Thread-safe.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace thinwire {

class Worker {
 public:
  Worker() = default;
  ~Worker() {  // when all that was given is done
    if (!thread_.joinable()) return;
    give({});
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // After what came before; what the work throws, the future throws. The thread begins with the first work.
  template <class Work>
  auto run(Work work) -> std::future<decltype(work())> {
    auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
    auto result = task->get_future();
    give([task] { (*task)(); });
    return result;
  }

 private:
  void give(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
      if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
    }
    wake_.notify_one();
  }

  void serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !queue_.empty(); });
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      if (!work) return;
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;  // an empty one: the end
  std::thread thread_;
};

}  // namespace thinwire

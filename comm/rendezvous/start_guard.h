// A deadline for what cannot be asked how long it waits, as MPI_Init: unless the guard has gone by then, it calls what ends the process.
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace thinwire::comm {

class StartGuard {
 public:
  // `too_late` is called on a thread of the guard.
  StartGuard(double limit_s, std::function<void()> too_late);
  ~StartGuard();
  StartGuard(const StartGuard&) = delete;
  StartGuard& operator=(const StartGuard&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable gone_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace thinwire::comm

#include "comm/rendezvous/start_guard.h"

#include <chrono>
#include <utility>

#include "base/log.h"

namespace thinwire::comm {

StartGuard::StartGuard(double limit_s, std::function<void()> too_late)
    : thread_([this, limit_s, too_late = std::move(too_late), log = log::current()] {
        log::adopt(log);
        std::unique_lock lock(mutex_);
        if (!gone_.wait_for(lock, std::chrono::duration<double>(limit_s), [this] { return is_over_; })) too_late();
      }) {}

StartGuard::~StartGuard() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  gone_.notify_one();
  thread_.join();
}

}  // namespace thinwire::comm

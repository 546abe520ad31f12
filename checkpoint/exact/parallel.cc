#include "checkpoint/exact/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace thinwire::checkpoint::exact {

void in_parallel(size_t count, int threads, const std::function<void(size_t, ChunkCoder&)>& work) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto run = [&] {
    try {
      ChunkCoder coder;
      for (size_t i = next++; i < count; i = next++) work(i, coder);
    } catch (...) {
      const std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t t = 1; t < std::min(count, static_cast<size_t>(threads)); ++t) helpers.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace thinwire::checkpoint::exact

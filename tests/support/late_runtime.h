// A CUDA runtime without a GPU: device memory is the host's, and work on a stream is done late. Nothing happens until somebody asks an
// event; each question does a few pieces of work, of streams chosen by chance. So code that reads too early, or that lacks an event
// between two streams, fails here. Thread-safe.
#pragma once
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <new>

#include "base/check.h"
#include "base/cuda/runtime.h"
#include "base/draw.h"

namespace thinwire::testing {

class LateRuntime final : public cuda::Runtime {
 public:
  explicit LateRuntime(uint64_t seed = 1) : draw_(seed) {}

  // What a kernel would be: done when the stream comes to it.
  void post(cuda::Stream stream, std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    of(stream).work.push_back([work = std::move(work)] { return work(), true; });
  }

  int num_devices() override { return 1; }
  std::string name(int) override { return "no device"; }
  uint64_t memory_bytes(int) override { return 0; }
  void use(int) override {}

  void* allocate(size_t num_bytes) override {
    void* memory = ::operator new(num_bytes + kAlignment, std::align_val_t(kAlignment));
    std::memset(memory, 0xa5, num_bytes + kAlignment);
    return memory;
  }
  void* allocate_host(size_t num_bytes) override { return allocate(num_bytes); }
  void free(void* memory) noexcept override { ::operator delete(memory, std::align_val_t(kAlignment)); }
  void free_host(void* memory) noexcept override { free(memory); }

  cuda::Stream make_stream() override {
    const std::lock_guard lock(mutex_);
    return &streams_.emplace_back();
  }
  void destroy_stream(cuda::Stream stream) noexcept override {
    const std::lock_guard lock(mutex_);
    streams_.remove_if([&](const StreamWork& known) { return &known == stream; });
  }
  cuda::Event make_event() override {
    const std::lock_guard lock(mutex_);
    return &events_.emplace_back();
  }
  void destroy_event(cuda::Event event) noexcept override { static_cast<Records*>(event)->is_destroyed = true; }  // work may still name it

  void record(cuda::Event event, cuda::Stream stream) override {
    const std::lock_guard lock(mutex_);
    Records& records = *static_cast<Records*>(event);
    of(stream).work.push_back([&records, number = ++records.asked] { return records.done = number, true; });
  }
  void wait(cuda::Stream stream, cuda::Event event) override {
    const std::lock_guard lock(mutex_);
    const Records& records = *static_cast<Records*>(event);
    of(stream).work.push_back([&records, number = records.asked] { return records.done >= number; });
  }
  bool is_done(cuda::Event event) override {
    const std::lock_guard lock(mutex_);
    const Records& records = *static_cast<Records*>(event);
    check(!records.is_destroyed, "an event is asked before it is destroyed");
    for (int i = 0; i < kPiecesAQuestion && records.done < records.asked; ++i) do_a_piece();
    return records.done == records.asked;
  }

  void copy(void* to, const void* from, size_t num_bytes, cuda::Stream stream) override {
    if (num_bytes > 0) post(stream, [=] { std::memcpy(to, from, num_bytes); });
  }
  void zero(void* memory, size_t num_bytes, cuda::Stream stream) override {
    if (num_bytes > 0) post(stream, [=] { std::memset(memory, 0, num_bytes); });
  }

 private:
  static constexpr size_t kAlignment = 256;
  static constexpr int kPiecesAQuestion = 3;
  struct StreamWork {
    std::deque<std::function<bool()>> work;  // false: not yet
  };
  struct Records {
    uint64_t asked = 0, done = 0;
    bool is_destroyed = false;
  };

  static StreamWork& of(cuda::Stream stream) { return *static_cast<StreamWork*>(stream); }

  void do_a_piece() {
    if (streams_.empty()) return;
    auto stream = streams_.begin();
    std::advance(stream, static_cast<std::ptrdiff_t>(draw_.below(pieces_++, streams_.size())));
    if (!stream->work.empty() && stream->work.front()()) stream->work.pop_front();
  }

  Draw draw_;
  uint64_t pieces_ = 0;
  std::mutex mutex_;
  std::list<StreamWork> streams_;
  std::list<Records> events_;
};

}  // namespace thinwire::testing

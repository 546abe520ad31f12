#include "comm/nccl/communicator.h"

#include <thread>

#include "base/stopwatch.h"

namespace thinwire::comm {

namespace {
constexpr double kPatience_s = 0.5;
constexpr auto kPause = std::chrono::microseconds(200);
}  // namespace

NcclApi::Comm Communicator::comm() const {
  const NcclApi::Comm comm = comm_;
  if (comm == nullptr) throw CommError("the NCCL communicator was aborted");
  return comm;
}

bool Communicator::is_ready() {
  const std::lock_guard lock(in_use_);
  return api_.is_ready(comm());
}

void Communicator::exchange(std::span<const NcclPart> parts, cuda::Stream stream) {
  const std::lock_guard lock(in_use_);
  api_.group_start();
  try {
    for (const NcclPart& part : parts) {
      if (part.kind == Op::Kind::send) {
        api_.send(part.data, part.bytes, part.peer, comm(), stream);
      } else {
        api_.recv(part.data, part.bytes, part.peer, comm(), stream);
      }
    }
  } catch (...) {  // the group belongs to the thread: it must not stay open
    try {
      api_.group_end();
    } catch (...) {  // the first failure is the one to tell
    }
    throw;
  }
  api_.group_end();
}

void Communicator::close(double limit_s) noexcept {
  try {
    {
      const std::lock_guard lock(in_use_);
      api_.finalize(comm());
    }
    for (const Stopwatch waited; !is_ready();) {
      if (waited.seconds() > limit_s) return abort();
      std::this_thread::sleep_for(kPause);
    }
    const std::lock_guard lock(in_use_);
    if (const NcclApi::Comm comm = comm_.exchange(nullptr)) api_.destroy(comm);
  } catch (...) {  // a peer went without closing, or aborted: then so does this one
    abort();
  }
}

void Communicator::abort() noexcept {
  std::unique_lock lock(in_use_, std::defer_lock);
  for (const Stopwatch waited; !lock.try_lock() && waited.seconds() < kPatience_s;) std::this_thread::sleep_for(kPause);
  if (const NcclApi::Comm comm = comm_.exchange(nullptr)) api_.abort(comm);
}

}  // namespace thinwire::comm

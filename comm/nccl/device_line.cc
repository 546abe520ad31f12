#include "comm/nccl/device_line.h"

#include <cstring>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "base/stopwatch.h"

namespace thinwire::comm {

namespace {
constexpr double kLinePatience_s = 0.5;  // an aborted kernel ends within microseconds
constexpr auto kLinePause = std::chrono::microseconds(100);
}  // namespace

DeviceLine::DeviceLine(cuda::Runtime& runtime, int device, std::unique_ptr<Communicator> communicator)
    : runtime_(runtime), device_(device), communicator_(std::move(communicator)), staging_(runtime) {
  try {
    stream_ = runtime_.make_stream();
    end_ = runtime_.make_event();
    drain_ = runtime_.make_event();
  } catch (...) {
    if (stream_ != nullptr) runtime_.destroy_stream(stream_);
    if (end_ != nullptr) runtime_.destroy_event(end_);
    throw;
  }
}

DeviceLine::~DeviceLine() {
  abort();  // does nothing after close()
  if (is_busy_) {
    log::warn(
        "CUDA device {} did not say within {:g} s that an aborted NCCL group has ended: its buffers stay allocated until the process ends",
        device_, kLinePatience_s);
    staging_.abandon();
    return;
  }
  runtime_.destroy_event(drain_);
  runtime_.destroy_event(end_);
  runtime_.destroy_stream(stream_);
}

void DeviceLine::start(std::span<const Part> parts) {
  check(is_idle(), "one group is under way at a time");
  runtime_.use(device_);
  parts_.assign(parts.begin(), parts.end());
  offsets_bytes_.assign(parts_.size(), 0);
  size_t staged_bytes = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].memory.place != Place::host) continue;
    offsets_bytes_[i] = staged_bytes;
    staged_bytes += Staging::rounded(parts_[i].bytes);
  }
  staging_.reserve(staged_bytes);
  is_busy_ = true;
  stage(Op::Kind::send);
  group_.clear();
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    const bool is_host = part.memory.place == Place::host;
    if (!is_host && part.memory.ready != nullptr) runtime_.wait(stream_, part.memory.ready);
    group_.push_back({part.kind, part.peer, is_host ? staging_.device(offsets_bytes_[i]) : part.data, part.bytes});
  }
  communicator_->exchange(group_, stream_);
  state_ = State::issued;
}

// Copies between pinned memory and the device, of the host parts of that kind.
void DeviceLine::stage(Op::Kind kind) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.kind != kind || part.memory.place != Place::host) continue;
    std::byte *host = staging_.host(offsets_bytes_[i]), *device = staging_.device(offsets_bytes_[i]);
    if (kind == Op::Kind::send) {
      std::memcpy(host, part.data, part.bytes);
      runtime_.copy(device, host, part.bytes, stream_);
    } else {
      runtime_.copy(host, device, part.bytes, stream_);
    }
  }
}

bool DeviceLine::poll() {
  runtime_.use(device_);
  if (!communicator_->is_ready()) return false;  // throws what went wrong beside the stream: a connection that broke
  if (state_ == State::issued) {
    stage(Op::Kind::recv);
    runtime_.record(end_, stream_);
    state_ = State::running;
  }
  if (!runtime_.is_done(end_)) return false;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.kind == Op::Kind::recv && part.memory.place == Place::host)
      std::memcpy(part.data, staging_.host(offsets_bytes_[i]), part.bytes);
  }
  is_busy_ = false;
  state_ = State::idle;
  return true;
}

void DeviceLine::close(double limit_s) noexcept {
  try {
    runtime_.use(device_);
  } catch (...) {  // NCCL will meet the same
  }
  communicator_->close(limit_s);
}

void DeviceLine::abort() noexcept {
  communicator_->abort();
  drain();
}

void DeviceLine::drain() noexcept {
  const std::lock_guard lock(draining_);
  if (!is_busy_ || has_given_up_) return;
  try {
    runtime_.use(device_);
    runtime_.record(drain_, stream_);
    for (const Stopwatch waited; waited.seconds() < kLinePatience_s; std::this_thread::sleep_for(kLinePause)) {
      if (!runtime_.is_done(drain_)) continue;
      is_busy_ = false;
      return;
    }
  } catch (...) {  // a device in error tells nothing any more
  }
  has_given_up_ = true;
}

}  // namespace thinwire::comm

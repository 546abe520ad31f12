#include "exchange/device/lane.h"

#include <algorithm>
#include <numeric>

namespace thinwire::exchange {

std::byte* Arena::take(size_t num_bytes) {
  const size_t rounded = (std::max<size_t>(num_bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (blocks_.empty() || blocks_.back().bytes - used_bytes_ < rounded) add(std::max(rounded, kLeastBytes));
  std::byte* memory = blocks_.back().memory + used_bytes_;
  used_bytes_ += rounded;
  return memory;
}

void Arena::add(size_t num_bytes) {
  blocks_.push_back({static_cast<std::byte*>(allocate_(num_bytes)), num_bytes});
  used_bytes_ = 0;
}

void Arena::reset() {
  used_bytes_ = 0;
  if (blocks_.size() < 2) return;
  const size_t total = std::accumulate(blocks_.begin(), blocks_.end(), size_t{0}, [](size_t sum, const Block& b) { return sum + b.bytes; });
  release();
  add(total);
}

void Arena::release() {
  for (const Block& block : blocks_) free_(block.memory);
  blocks_.clear();
}

DeviceLane::DeviceLane(DeviceResidence& home)
    : home_(home),
      stream_(runtime().make_stream()),
      event_(runtime().make_event()),
      device_([this](size_t bytes) { return runtime().allocate(bytes); }, [this](void* memory) { runtime().free(memory); }),
      pinned_([this](size_t bytes) { return runtime().allocate_host(bytes); }, [this](void* memory) { runtime().free_host(memory); }) {}

DeviceLane::~DeviceLane() {
  drain();
  runtime().destroy_event(event_);
  runtime().destroy_stream(stream_);
}

void DeviceLane::drain() noexcept {
  try {
    runtime().use(home_.machine().device);
    wait();
  } catch (const std::exception&) {
    // The device fails, and has said so where somebody waited for its results.
  }
}

void DeviceLane::begin(const DeviceMark& computed) {
  runtime().use(home_.machine().device);
  wait();
  device_.reset();
  pinned_.reset();
  scratch_ = nullptr;
  scratch_bytes_ = 0;
  runtime().wait(stream_, computed.event());
}

std::byte* DeviceLane::scratch(size_t num_bytes) {
  if (num_bytes > scratch_bytes_ || scratch_ == nullptr) {
    scratch_ = device(num_bytes);
    scratch_bytes_ = num_bytes;
  }
  return scratch_;
}

void DeviceLane::wait() {
  runtime().record(event_, stream_);
  wait_for(runtime(), event_);
}

}  // namespace thinwire::exchange

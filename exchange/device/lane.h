// What the communication thread of a lane has of a device: a stream, and memory for the bucket at hand. The buckets of a lane run one after
// another, so they share it.
#pragma once
#include <functional>
#include <vector>

#include "exchange/device/residence.h"

namespace thinwire::exchange {

// Memory that is taken bit by bit and given back all at once. After a few rounds it is one block, which is large enough.
class Arena {
 public:
  Arena(std::function<void*(size_t)> allocate, std::function<void(void*)> free) : allocate_(std::move(allocate)), free_(std::move(free)) {}
  ~Arena() { release(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* take(size_t num_bytes);  // aligned to kAlignment
  void reset();                       // what was taken is given back

 private:
  static constexpr size_t kAlignment = 256, kLeastBytes = size_t{1} << 20;
  struct Block {
    std::byte* memory;
    size_t bytes;
  };
  void release();
  void add(size_t num_bytes);

  std::function<void*(size_t)> allocate_;
  std::function<void(void*)> free_;
  std::vector<Block> blocks_;
  size_t used_bytes_ = 0;  // of the last block
};

class DeviceLane {
 public:
  explicit DeviceLane(DeviceResidence& home);
  ~DeviceLane();
  DeviceLane(const DeviceLane&) = delete;
  DeviceLane& operator=(const DeviceLane&) = delete;

  // On the lane's thread: the next bucket, whose numbers are there once `computed` is.
  void begin(const DeviceMark& computed);

  DeviceResidence& home() { return home_; }
  cuda::Runtime& runtime() { return home_.machine().runtime; }
  cuda::Stream stream() const { return stream_; }
  // Until the next begin(): memory of the device, aligned to 64 bytes and more, and pinned memory of the host.
  std::byte* device(size_t num_bytes) { return device_.take(num_bytes); }
  std::byte* pinned(size_t num_bytes) { return pinned_.take(num_bytes); }
  std::byte* scratch(size_t num_bytes);  // of the device, for one call on the stream: the next call may be given the same
  void wait();                           // until everything on the stream is done
  void drain() noexcept;                 // likewise: what a failed round has left there uses others' memory

 private:
  DeviceResidence& home_;
  cuda::Stream stream_;
  cuda::Event event_;
  Arena device_, pinned_;
  std::byte* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
};

}  // namespace thinwire::exchange

// The device's side of a channel: a stream of its own on which groups of sends and receives run, with the copies around them. Internal to
// nccl.
//
// One group is under way at a time. All calls but abort() are the polling thread's; none of them waits, but for the end of a line.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "comm/nccl/communicator.h"
#include "comm/nccl/staging.h"

namespace thinwire::comm {

class DeviceLine {
 public:
  // Takes over a communicator that is ready.
  DeviceLine(cuda::Runtime& runtime, int device, std::unique_ptr<Communicator> communicator);
  // What may still be under way on a device that hangs keeps its memory until the process ends; a warning says so.
  ~DeviceLine();
  DeviceLine(const DeviceLine&) = delete;
  DeviceLine& operator=(const DeviceLine&) = delete;

  struct Part {
    Op::Kind kind;
    int peer;
    std::byte* data;  // of the caller, who leaves it alone until the group is done
    size_t bytes;     // more than 0, and the same on both sides
    Memory memory;
  };
  bool is_idle() const { return state_ == State::idle; }
  void start(std::span<const Part> parts);
  // Moves the group along. True when it has ended: received bytes are in their place, and the line is idle again. Throws CommError or
  // DeviceError when NCCL or the device fails.
  bool poll();
  const std::vector<Part>& parts() const { return parts_; }  // of the last group

  bool is_busy() const { return is_busy_; }  // the device may be using the caller's memory, or ours

  void close(double limit_s) noexcept;  // in peace, see Communicator
  // From any thread: ends the group that is under way, and waits a little until the device has let go of the caller's memory.
  void abort() noexcept;

 private:
  enum class State : uint8_t { idle, issued, running };  // issued: NCCL has not put all of it on the stream yet
  void stage(Op::Kind kind);
  void drain() noexcept;

  cuda::Runtime& runtime_;
  const int device_;
  const std::unique_ptr<Communicator> communicator_;
  cuda::Stream stream_ = nullptr;
  cuda::Event end_ = nullptr;    // of the group
  cuda::Event drain_ = nullptr;  // of everything, when the line is aborted
  Staging staging_;
  State state_ = State::idle;
  std::vector<Part> parts_;
  std::vector<size_t> offsets_bytes_;  // by part, in the staging memory; host parts only
  std::vector<NcclPart> group_;        // scratch of start()
  std::mutex draining_;
  bool has_given_up_ = false;  // guarded by draining_: what is busy stays so
  std::atomic<bool> is_busy_ = false;
};

}  // namespace thinwire::comm

// State in host memory, for checkpoints: as it lies there, or a copy that stays what it was while training goes on.
#pragma once
#include <ATen/core/Tensor.h>

#include <deque>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "exchange/schedule.h"

namespace thinwire::trainer {

class HostMemory {
 public:
  enum class Kind {
    live,      // what lies on the host is given as it is; tensors of a device in copies, which live as long as this does
    snapshot,  // all is copied, into rooms that are kept for the next snapshot; pinned for what comes from a GPU
  };
  explicit HostMemory(Kind kind = Kind::live) : kind_(kind) {}

  MutableBytes of(const at::Tensor& tensor);
  MutableBytes of(MutableBytes on_host);
  MutableBytes of(const exchange::StatePiece& piece);
  void store();  // live: what was written into the copies goes to where they came from

  // A snapshot of the same things in the same order finds its rooms again; what the last one gave is void then.
  void begin_snapshot() { next_room_ = 0; }
  void end_snapshot();  // waits until copies from a device have arrived

 private:
  struct Room {
    at::Tensor bytes;
    bool is_pinned = false;
  };
  at::Tensor room(size_t num_bytes, bool pinned);  // bytes

  struct Piece {
    exchange::StatePiece of;
    std::vector<std::byte> bytes;
  };

  Kind kind_;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies_;  // live: tensor, copy
  std::deque<Piece> pieces_;                               // live
  std::vector<Room> rooms_;                                // snapshot
  size_t next_room_ = 0;
  std::vector<c10::Device> devices_;  // with copies under way
};

}  // namespace thinwire::trainer

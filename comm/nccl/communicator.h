// One NCCL communicator of this rank: used by one thread, ended by any. Internal to nccl.
//
// Nothing here waits for a peer, but for close(), which has a limit. Errors of NCCL are CommErrors; after one, abort() is all that is left.
#pragma once
#include <atomic>
#include <mutex>
#include <span>

#include "comm/nccl/api.h"
#include "comm/transport.h"

namespace thinwire::comm {

// What moves between this rank and one peer in one group. Device memory.
struct NcclPart {
  Op::Kind kind;
  int peer;
  void* data;
  size_t bytes;
};

class Communicator {
 public:
  Communicator(NcclApi& api, int size, const NcclId& id, int rank) : api_(api), comm_(api.init(size, id, rank)) {}
  ~Communicator() { abort(); }  // unless it was closed
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  bool is_ready();  // as NcclApi's
  void exchange(std::span<const NcclPart> parts, cuda::Stream stream);

  // Ends in peace: what is under way gets through first, here and at the peers. Aborts instead when that fails or takes longer than
  // limit_s.
  void close(double limit_s) noexcept;
  // From any thread: ends what is under way. Waits a little for a call of the using thread to return, then goes ahead without it.
  void abort() noexcept;

 private:
  NcclApi::Comm comm() const;  // CommError once it was aborted

  NcclApi& api_;
  std::mutex in_use_;  // held through each call of NCCL, abort's aside
  std::atomic<NcclApi::Comm> comm_;
};

}  // namespace thinwire::comm

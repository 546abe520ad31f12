// The calls of NCCL that Thinwire makes, behind a seam: what waits for NCCL is written and tested without a GPU.
//
// The real one is a part of the CUDA module (library.cc); tests give their own, which delays, fails or hangs each call. Communicators are
// non-blocking: a call starts something, and is_ready() says when it has ended. A failure is a CommError with the name of the call and what
// NCCL says about it. One thread at a time may use a communicator; only abort() may come from another one meanwhile.
#pragma once
#include <array>
#include <cstddef>
#include <string>

#include "base/cuda/runtime.h"

namespace thinwire::comm {

// Opaque to all but NCCL. Whoever has it may join the communicator.
struct NcclId {
  std::array<std::byte, 128> bytes{};
};

class NcclApi {
 public:
  using Comm = void*;  // an ncclComm_t

  virtual ~NcclApi() = default;
  virtual std::string version() = 0;  // "2.28.9"
  virtual NcclId make_id() = 0;

  // Of the thread's current device. Returns at once; ready when all `size` ranks have called it with the same id. Where it throws, there is
  // no communicator; one that fails later wants abort().
  virtual Comm init(int size, const NcclId& id, int rank) = 0;
  // Whether all that was started on this communicator so far is under way on its stream, or has ended. Does not wait.
  virtual bool is_ready(Comm comm) = 0;

  // What is sent and received between the two goes as one kernel, which ends when all of it has gone through.
  virtual void group_start() = 0;
  virtual void send(const void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) = 0;
  virtual void recv(void* data, size_t num_bytes, int peer, Comm comm, cuda::Stream stream) = 0;
  virtual void group_end() = 0;

  virtual void finalize(Comm comm) = 0;        // ready once nothing is under way any more, at the peers neither
  virtual void destroy(Comm comm) = 0;         // after that
  virtual void abort(Comm comm) noexcept = 0;  // ends its kernels wherever they stand, and frees it
};

// What the CUDA module exports as its part "nccl".
struct NcclLibrary {
  NcclApi* api = nullptr;
  std::string why_unavailable;  // for people, where api is nullptr
};

}  // namespace thinwire::comm

// NCCL between GPUs: one communicator per channel, moved along by the thread that polls the channel.
//
// It is started over another transport (MPI), which also carries its control channel (transport.control()), the unique ids, aborts, and the
// notes by which two members agree on each message: the sender tells its length, the receiver its capacity, and only when both have come
// does NCCL move exactly that many bytes. So a message costs 9 bytes each way beside it and the latency of the slower note, not the padding
// of a fixed envelope; lengths may vary, and no kernel occupies the device while a peer is late. Empty messages are notes alone.
//
// What was posted between two polls is a batch: it moves, when all of it is agreed, in groups of at most one part per peer and direction. A
// batch must be able to end without what is posted later, as if every send waited for its receive; Wire's operations all are so.
//
// Host buffers go through pinned memory and its double on the device, which grow to the largest group: at most a part (16 MiB) per peer and
// direction. Device buffers (Place::cuda) are read and written where they lie, after their `ready` event. Copies and groups run on a stream
// of the channel's own; events say when they have ended. Nothing synchronises a stream or the device.
//
// NCCL adds nothing up: sums are those of comm/collectives.h, on the host and in rank order, with the same bits as over MPI.
#pragma once
#include <cstddef>
#include <memory>

#include "comm/nccl/api.h"
#include "comm/rendezvous/environment.h"
#include "comm/transport.h"

namespace thinwire::comm {

struct NcclSettings {
  int device = 0;                             // of CUDA, as this process numbers them
  double timeout_s = 60;                      // for all ranks to open a channel, and for NCCL to connect them
  double close_timeout_s = 5;                 // for the peers of a channel that is closed in peace
  size_t part_limit_bytes = size_t{1} << 24;  // equal on all ranks; a long message over a thin wire shows progress
};

// `bootstrap` must outlive the transport. One thread uses a transport's channels at a time (NCCL wants one per device): one bulk lane.
std::unique_ptr<Transport> make_nccl_transport(NcclApi& api, cuda::Runtime& runtime, Transport& bootstrap, const NcclSettings& settings);

// Empty where this process can use NCCL; else what it lacks, for people: a GPU, the CUDA module, the library.
std::string why_no_nccl();

// With NCCL and CUDA of this process, on the device of the rank's place on its host (local rank modulo devices). Logs what NCCL will use,
// and warns of ranks that share a GPU. ConfigError, with the fix, where why_no_nccl() says something.
std::unique_ptr<Transport> make_nccl_transport(Transport& bootstrap, const LaunchEnvironment& launch, double timeout_s);

}  // namespace thinwire::comm

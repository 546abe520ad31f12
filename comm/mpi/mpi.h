// MPI: bytes by Isend and Irecv on a duplicated communicator per channel, all from the thread that polls the channel.
//
// Messages longer than the limit travel in parts, which the receiver joins: MPI counts are ints. abort() tells the peers over a second
// communicator; MPI itself cannot take back what is posted, so after a failure the process must end by MpiSession::abort_process.
#pragma once
#include <cstdint>
#include <memory>

#include "comm/transport.h"

namespace thinwire::comm {

// MPI_Init_thread and MPI_Finalize; one per process, made before any channel and destroyed after all of them.
class MpiSession {
 public:
  MpiSession();   // CommError when MPI cannot start or lacks MPI_THREAD_MULTIPLE
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  int world_rank() const;
  int world_size() const;
  // Ends this process and, through mpirun, the others with `code`; for when peers cannot be waited for.
  [[noreturn]] static void abort_process(ExitCode code);
};

inline constexpr size_t kMpiMessageLimitBytes = size_t{1} << 30;
std::unique_ptr<Transport> make_mpi_transport(size_t message_limit_bytes = kMpiMessageLimitBytes);

}  // namespace thinwire::comm

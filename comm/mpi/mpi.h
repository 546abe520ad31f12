// MPI: bytes by Isend and Irecv on a duplicated communicator per channel, all from the thread that polls the channel.
//
// A message of n bytes travels as n / limit parts of exactly `limit` bytes and one shorter part, possibly empty, that ends it: MPI counts
// are ints, and neither side needs to know the other's size. All ranks use the same limit. abort() tells the peers over a second
// communicator; MPI itself cannot take back what is posted, so after a failure the process must end by MpiSession::abort_process.
//
// Opening a channel has no deadline: it waits until every member opens it, or until mpirun ends the job.
#pragma once
#include <cstddef>
#include <memory>

#include "comm/transport.h"

namespace thinwire::comm {

// MPI_Init_thread and MPI_Finalize; one per process, made before any channel and destroyed after all of them. Finalizing waits for the
// peers, so the destructor leaves it out once a channel has been aborted, and while an exception passes; mpirun then ends the job when
// this process exits.
class MpiSession {
 public:
  MpiSession();  // CommError when MPI cannot start or lacks MPI_THREAD_MULTIPLE
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  int world_rank() const;
  int world_size() const;
  // Ends this process and, through mpirun, the others with `code`; for when peers cannot be waited for.
  [[noreturn]] static void abort_process(ExitCode code);
};

// Far below what MPI could count, so that a long message over a thin wire shows progress before the deadline.
inline constexpr size_t kMpiMessageLimitBytes = size_t{1} << 24;
std::unique_ptr<Transport> make_mpi_transport(size_t message_limit_bytes = kMpiMessageLimitBytes);

}  // namespace thinwire::comm

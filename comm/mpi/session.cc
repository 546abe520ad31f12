#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "comm/mpi/call.h"
#include "comm/mpi/mpi.h"

namespace thinwire::comm {

namespace {
std::atomic<bool> unclean = false;  // as global as MPI itself
}

void mark_mpi_unclean() { unclean = true; }
bool mpi_is_unclean() { return unclean; }

namespace {
// What Open MPI does over TCP unless the user has given a value of his own to mpirun or the environment.
//
// It lets the receiver of a long message ask for it, in one piece ("put"). Where both sides send at once, as in every collective here, each
// request waits behind the other direction's bytes in the same socket, and the directions take turns: half the rate of a full-duplex
// link. Fragments that the sender pushes do not.
//
// A message above the eager limit, of 64 KiB by default, is announced, and waits for an answer that likewise has bytes of both directions
// before it. A bucket of the default size in 4 bits is sent at once. Buffers of that size are allocated 32 at a time, 16 MiB.
void send_at_once_over_tcp() {
  setenv("OMPI_MCA_btl_tcp_flags", "send,inplace,need-ack,need-csum,hetero-rdma", 0);
  setenv("OMPI_MCA_btl_tcp_eager_limit", "524288", 0);
}
}  // namespace

MpiSession::MpiSession() {
  send_at_once_over_tcp();
  int provided = MPI_THREAD_SINGLE;
  require_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    throw CommError("this MPI lacks MPI_THREAD_MULTIPLE, which the communication thread needs; use an MPI built with it");
  }
  require_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiSession::~MpiSession() {
  if (!mpi_is_unclean() && std::uncaught_exceptions() == 0) MPI_Finalize();
}

int MpiSession::world_rank() const {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

int MpiSession::world_size() const {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

void MpiSession::abort_process(ExitCode code) {
  std::fflush(nullptr);
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized && !finalized) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

}  // namespace thinwire::comm

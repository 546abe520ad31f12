// The transport suite over MPI, one process per rank:  mpirun -n 4 mpi_suite
//
// The first failure of any rank is printed and ends the whole run with exit code 1. `mpi_suite fail RANK` fails on purpose on that rank;
// `mpi_suite throw RANK` leaves main by a DataError there while the others open a channel.
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "comm/mpi/mpi.h"
#include "tests/support/mpi_case.h"

namespace {
using namespace thinwire;
using test::run_case;

void run(const std::string& on_purpose, int victim) {
  const comm::MpiSession session;
  log::set_rank(session.world_rank());
  if (session.world_rank() == victim) {
    const auto transport = comm::make_mpi_transport();
    if (on_purpose == "throw") throw DataError("no data on this rank");
    run_case({"OnPurpose", [](comm::Transport&) { throw std::runtime_error("as asked"); }}, *transport, 0);
  }
  for (const size_t limit_bytes : {comm::kMpiMessageLimitBytes, size_t{1000}}) {
    const auto transport = comm::make_mpi_transport(limit_bytes);
    for (const auto& one : test::transport_cases()) run_case(one, *transport, limit_bytes);
  }
}
}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc > 2 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : -1);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
  // The session leaves MPI running after the aborts that the suite provokes; here all ranks are known to be well.
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Finalize();
}

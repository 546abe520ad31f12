// Cases of the transport suite in a world of processes that mpirun started.
#pragma once
#include <chrono>
#include <cstdio>
#include <exception>

#include "base/error.h"
#include "comm/mpi/mpi.h"
#include "tests/support/transport_suite.h"

namespace thinwire::test {

// Rank 0 prints how long it took. A failure of any rank is printed by it, and ends the whole job with exit code 1.
inline void run_case(const TransportCase& one, comm::Transport& transport, size_t limit_bytes) {
  const auto start = std::chrono::steady_clock::now();
  try {
    one.run(transport);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "FAILED [rank %d of %d] %s, parts of %zu bytes: %s\n", transport.world_rank(), transport.world_size(), one.name,
                 limit_bytes, e.what());
    comm::MpiSession::abort_process(ExitCode::other);
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  if (transport.world_rank() == 0) std::printf("ok %-48s parts of %8zu bytes %7.1f ms\n", one.name, limit_bytes, took.count());
}

}  // namespace thinwire::test

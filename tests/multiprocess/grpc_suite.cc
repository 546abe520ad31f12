// The transport suite over gRPC, one process per rank, started as a launcher would:  start_ranks.py 4 grpc_suite
//
// The first failure of a rank is printed and ends it with exit code 1; the others then fail too. `grpc_suite kill RANK` kills that rank
// while the others wait for it, who must end with 5 and name it; `grpc_suite stop RANK` only stops it, for longer than their deadline.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"
#include "comm/grpc/grpc.h"
#include "comm/rendezvous/environment.h"
#include "tests/support/transport_cases.h"
#include "tests/support/transport_suite.h"

namespace {
using namespace thinwire;

void run_suite(comm::Transport& transport) {
  for (const auto& one : test::transport_cases()) {
    const Stopwatch took;
    try {
      one.run(transport);
    } catch (const std::exception& e) {
      throw std::runtime_error(
          fmt::format("FAILED [rank {} of {}] {}: {}", transport.world_rank(), transport.world_size(), one.name, e.what()));
    }
    if (transport.world_rank() == 0) std::printf("ok %-48s %7.1f ms\n", one.name, took.seconds() * 1e3);
  }
}

// All exchange until the victim is gone or still. The others may still be in their first barrier then: what the victim sent last lies in
// its own queues.
void lose(comm::Transport& transport, int victim, int number) {
  test::Line line(transport, "line", 3);
  const Stopwatch waited;
  try {
    if (transport.world_rank() == victim) {
      comm::barrier(line.wire);
      std::raise(number);
      return;
    }
    for (;;) comm::barrier(line.wire);
  } catch (const CommError& e) {
    std::printf("after %s: %s\n", waited.seconds() < 2.5 ? "a moment" : "the deadline", e.what());
    throw;
  }
}
}  // namespace

int main(int argc, char** argv) {
  const auto environment = comm::detect_environment();
  log::set_rank(environment.rank);
  try {
    const auto transport = comm::make_grpc_transport(environment, {});
    if (argc > 2) {
      lose(*transport, std::atoi(argv[2]), std::strcmp(argv[1], "kill") == 0 ? SIGKILL : SIGSTOP);
    } else {
      run_suite(*transport);
    }
  } catch (const Error& e) {
    std::printf("%s\n", e.what());
    return static_cast<int>(e.code());
  } catch (const std::exception& e) {
    std::printf("%s\n", e.what());
    return 1;
  }
}

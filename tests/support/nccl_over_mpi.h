// NCCL of this process started over MPI, for test programs: where ranks share a GPU, each gets an NCCL_HOSTID of its own, so that NCCL
// takes them for ranks of different hosts, joined by sockets.
#pragma once
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/cuda/module.h"
#include "comm/nccl/nccl.h"

namespace thinwire::test {

inline constexpr int kSkipped = 77;  // the exit code by which ctest knows

// Prints why this process cannot use NCCL. False: it can.
inline bool says_why_no_nccl() {
  const std::string why = comm::why_no_nccl();
  if (!why.empty()) std::printf("skipped: %s\n", why.c_str());
  return !why.empty();
}

inline std::unique_ptr<comm::Transport> make_nccl_over(comm::Transport& bootstrap, double timeout_s) {
  const auto launch = comm::detect_environment();
  if (launch.local_world > cuda::runtime().num_devices()) {
    setenv("NCCL_HOSTID", fmt::format("thinwire-{}", bootstrap.world_rank()).c_str(), 1);
    setenv("NCCL_SOCKET_IFNAME", "lo", 0);
  }
  return comm::make_nccl_transport(bootstrap, launch, timeout_s);
}

}  // namespace thinwire::test

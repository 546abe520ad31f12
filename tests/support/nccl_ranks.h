// Ranks as threads over NCCL of a mock machine, started over loopback: run_nccl_ranks(machine, 4, [](Transport& transport) { ... }).
#pragma once
#include "comm/nccl/nccl.h"
#include "tests/support/mock_device.h"
#include "tests/support/run_ranks.h"

namespace thinwire::test {

inline void run_nccl_ranks(MockMachine& machine, int num_ranks, const comm::NcclSettings& settings,
                           const std::function<void(comm::Transport&)>& body) {
  run_ranks(num_ranks, [&](comm::Transport& bootstrap) {
    const int rank = bootstrap.world_rank();
    const auto transport = comm::make_nccl_transport(machine.nccl(rank), machine.runtime(rank), bootstrap, settings);
    body(*transport);
  });
}

}  // namespace thinwire::test

// Everything that a checkpoint of a run holds, gathered from the rooms that own it.
#pragma once
#include <array>

#include "checkpoint/state.h"
#include "exchange/schedule.h"
#include "models/model.h"
#include "trainer/host_memory.h"
#include "trainer/optimizer.h"

namespace thinwire::trainer {

// Spans of what `host` gives for the live run: valid while its parts, or the copies, live. `totals` is this rank's WireLedger state.
//   model/<parameter>                        replicated whenever all ranks hold the same bits
//   optim/exp_avg/..., optim/exp_avg_sq/...  likewise
//   exchange/<piece>/<parameter>             what error feedback and sketches keep: most of it each rank's own
//   schedule/...                             the schedule's state, replicated
checkpoint::State run_state(const models::Model& model, const Optimizer& optimizer, exchange::Schedule& schedule,
                            std::array<int64_t, 4>& totals, HostMemory& host);

}  // namespace thinwire::trainer

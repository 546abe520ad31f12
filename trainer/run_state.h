// Everything that a checkpoint of a run holds, gathered from the rooms that own it.
#pragma once
#include <array>

#include "checkpoint/state.h"
#include "exchange/schedule.h"
#include "models/model.h"
#include "trainer/host_memory.h"
#include "trainer/optimizer.h"

namespace thinwire::trainer {

// One piece of the exchange or the schedule, which is called `owner`/<piece>, in `memory` of the host.
checkpoint::StateTensor tensor_of(const std::string& owner, const exchange::StatePiece& piece, MutableBytes memory,
                                  const exchange::Exchange& exchange, std::vector<int64_t> slot_shape);

// What the state is to be loaded from: a checkpoint of as many ranks, which has it as the run keeps it, or one of another number, after
// which Exchange::regrouped() is called.
enum class SavedBy : uint8_t { as_many_ranks, another_number };

// Spans of what `host` gives for the live run: valid while its parts, or the copies, live. `totals` is this rank's WireLedger state.
//   model/<parameter>                        replicated whenever all ranks hold the same bits
//   optim/exp_avg/..., optim/exp_avg_sq/...  likewise
//   exchange/<piece>/<parameter>             what error feedback and sketches keep: most of it each rank's own
//   schedule/...                             the schedule's state, replicated
checkpoint::State run_state(const models::Model& model, const Optimizer& optimizer, exchange::Schedule& schedule,
                            std::array<int64_t, 4>& totals, HostMemory& host, SavedBy saved_by = SavedBy::as_many_ranks);

}  // namespace thinwire::trainer

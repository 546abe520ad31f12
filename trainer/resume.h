// Going on from a checkpoint.
#pragma once
#include <array>

#include "trainer/host_memory.h"
#include "trainer/parts.h"
#include "trainer/run_state.h"

namespace thinwire::trainer {

struct Restored {
  int64_t step = 0;                         // finished steps; 0: a fresh start
  std::array<int64_t, 4> wire_totals = {};  // WireLedger::state()
  std::string how;                          // for metrics: "from step 100", and from how many ranks where it was another number
};

// Fills the parts from the checkpoint asked for, or the newest good one, if the run may resume and there is one. Writes nothing but memory.
// CheckpointError when the checkpoint belongs to another configuration (naming every key) or to other data.
//
// Another number of ranks may have saved it; then data.micro_batch may be another too, and the log lists what became of each kind of state.
Restored resume(Parts& parts);

// What a checkpoint of this run at `step` holds; `wire_totals` and `host` must outlive it. After a load into it, host.store().
checkpoint::State state_at(Parts& parts, int64_t step, std::array<int64_t, 4>& wire_totals, HostMemory& host,
                           SavedBy saved_by = SavedBy::as_many_ranks);

}  // namespace thinwire::trainer

// Scores on the validation split.
#pragma once
#include "comm/driver.h"
#include "trainer/task.h"

namespace thinwire::trainer {

// Means over options.batches batches of micro_batch samples. All ranks share the batches out among themselves; each evaluates its own
// parameters, which agree whenever the schedule has just exchanged.
Scores evaluate(const models::Model& model, const Task& task, const EvalOptions& options, int64_t micro_batch, comm::Driver& driver);

}  // namespace thinwire::trainer

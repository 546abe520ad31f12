// The plan of codecs while a run goes on: re-made when due, written down for people, and what each layer loses.
#pragma once
#include <optional>
#include <vector>

#include "trainer/metrics.h"
#include "trainer/parts.h"

namespace thinwire::trainer {

// After a step. A new plan goes to plans/step-N.txt of the run directory, a fallback to the log; both are events of metrics.jsonl.
void replan(Parts& parts, int64_t step, Metrics& metrics);

// The slots of a model's parameters, as configured.
std::vector<exchange::SlotSpec> slots_of(const models::Model& model, const Options& options);

// The slots of a run under these options, once everything that depends on model and codecs together has been refused. Loads no data, and
// takes no memory of the model's size.
std::vector<exchange::SlotSpec> checked_slots(const Options& options);

// Of this rank's last compressed round.
std::vector<LayerRecord> layer_records(const exchange::Exchange& exchange, const std::string& feedback);

}  // namespace thinwire::trainer

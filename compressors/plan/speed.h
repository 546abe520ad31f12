// How long candidates take on this machine: for plans that minimise time (objective: time).
//
// Clocks differ between ranks and runs: whoever plans must agree on one set of figures first. Nothing else depends on them.
#pragma once
#include <vector>

#include "compressors/plan/candidates.h"
#include "compressors/plan/cost.h"

namespace thinwire::compressors {

// Of each candidate, on a layer of 256 x 256 normal numbers: the best of a few runs, which is what an undisturbed run takes.
std::vector<CodecSpeed> measure_speeds(const CandidateSet& set);

}  // namespace thinwire::compressors

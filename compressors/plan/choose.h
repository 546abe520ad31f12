// From the summed error table to a plan: L-GreCo's choice of each layer's strength (MLSys 2024, arXiv 2210.17357), as a pure function.
//
//   minimise    sum over layers of cost(l, c_l)
//   subject to  sum over layers of error(l, c_l) <= alpha * sum over layers of error(l, reference_l)
//
// cost   size: bytes that a rank sends (cost.h);  time: those bytes * seconds per byte of the layer's bucket + codec seconds
// error  squared: |a - decoded|^2, which adds up for independent layers;  unsquared: its root, as L-GreCo's own code;
//        relative: elements * |a - decoded|^2 / |a|^2, the squared error once every layer is brought to the same mean square
//
// A candidate that is further off than sending nothing would be (1 bit between extremes, of normal numbers) is not chosen, unless it is the
// reference. With alpha >= 1 the plan never costs more than the reference. How one plan is made on every rank, by whoever exchanges:
//
//   const CandidateSet set = make_candidates(options.choice, options.plan);            // once
//   ErrorTable table(layers.size(), set.candidates.size());
//   for (size_t l = 0; l < layers.size(); ++l) {
//     if (layers[l].fixed == nullptr) measure_layer(set, layer(l), sums(l), options.plan.sample_elems, draw.fork(version), table, l);
//   }
//   all_reduce_sum(table.flat());                                                       // the same bits on all ranks
//   Plan next = choose(set, layers, table, {.ranks = size}, options.plan, last);        // last.version + 1
//   agree(hash(next));
//   for (const PlannedLayer& l : next.layers) {                                         // before the next exchange begins
//     if (l.choice != the slot's) slot.codec = shared by text of make_by_text(options.choice, l.choice);
//   }                                                                                   // keep residuals; restart sketches' memory
//
// Layers that travel by the same text should share one compressor, and with it their buckets.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compressors/plan/candidates.h"
#include "compressors/plan/cost.h"
#include "compressors/plan/error_table.h"
#include "compressors/plan/options.h"
#include "compressors/plan/plan.h"

namespace thinwire::compressors {

struct LayerToPlan {
  std::string name;
  int64_t rows = 1, cols = 0;
  // Set for a layer that has nothing to choose (a rule, min_elems), with its text and, where that is dense, the reason. Such layers are
  // in the plan and its table, but neither in its budget nor in its costs.
  std::shared_ptr<const Compressor> fixed;
  std::string fixed_text, why_dense;
  double s_per_byte = 0;  // objective time: of the bucket in which the layer travels, measured; the same on all ranks
};

struct Conditions {
  int ranks = 2;
  bool reencode = false;           // codecs that are gathered, but may be cut, are re-encoded by owners (compress.combine)
  std::vector<CodecSpeed> speeds;  // objective time: of each candidate; empty: codecs cost no time
};

// Plan last.version + 1. `last` is the plan before (a default one for the first): Accordion compares its norms with the table's.
Plan choose(const CandidateSet& set, std::span<const LayerToPlan> layers, const ErrorTable& table, const Conditions& conditions,
            const PlanOptions& options, const Plan& last);

// Accordion (arXiv 2010.16248, algorithm 1): a layer is in a critical regime while its gradient's norm changes by at least this share
// from one detection to the next, and at the first one.  | |before| - |now| | / |before| >= critical_change
bool is_critical(double squared_norm_before, double squared_norm_now, double critical_change);

}  // namespace thinwire::compressors

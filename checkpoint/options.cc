#include "checkpoint/checkpoint.h"

namespace thinwire::checkpoint {

void describe(config::Section& section, CheckpointOptions& options) {
  section.integer("every", options.every, {0}, "steps between checkpoints; 0: only at the end and when stopped by a signal");
  section.choice(
      "mode", options.mode, {"exact", "near_exact", "extreme", "raw"},
      "how tensors are stored; exact: in fewer bytes where that is possible, and every bit comes back; near_exact: the same, "
      "but moments of the "
      "optimiser and residuals come back within a tolerance that the manifest states; extreme: weights and moments as 4-bit centres "
      "of what changed most since the checkpoint before: the smallest, and what comes back is another state; raw: as they are in "
      "memory");
  section.choice("moments", options.moments, {"8", "4"}, "mode near_exact; bits of each optimiser moment. Residuals have 8");
  section.choice("pruning", options.pruning, {"mild", "aggressive"},
                 "mode extreme; how much is left out: mild keeps what most weights moved by, aggressive a tenth of it");
  section.choice("base", options.base, {"none", "previous"},
                 "mode exact and near_exact; previous: tensors are coded against the checkpoint before where that saves a twentieth, which "
                 "then has to stay; four in a row at most, and one that is damaged takes with it all that are coded against it; for "
                 "checkpoints a few steps apart; none: each stands alone. Mode extreme has bases of its own accord, eight at most");
  section.boolean("async", options.async,
                  "training waits only while state is copied (one more copy in memory); coding and writing happen beside the next steps");
  section.choice(
      "when_busy", options.when_busy, {"wait", "skip"},
      "async: a save is due while the one before is under way; wait: training waits for that one; skip: the one due is left out");
  section.seconds("timeout", options.timeout_s, {0.1, 864000},
                  "longest time that a rank may be at one part of a save or a load, its disk included, before the run ends");
  section.integer("threads", options.threads, {1, 256}, "threads of each rank that code and decode tensors");
  section.integer(
      "keep", options.keep, {0},
      "newest checkpoints that stay on disk, and what they are coded against; 0: all. Under base previous and mode extreme they "
      "may all need one and the same, so that they are no spares of each other; a save also wants 1.1 times the state free");
  section.integer("keep_every", options.keep_every, {0},
                  "checkpoints of steps that are a multiple of this stay besides, each with what it is coded against; 0: none");
  section.only({"moments"}, {"mode", {"near_exact"}});
  section.only({"pruning"}, {"mode", {"extreme"}});
  section.only({"base"}, {"mode", {"exact", "near_exact"}});
  section.only({"when_busy"}, {"async", {"true"}});
}

}  // namespace thinwire::checkpoint

// What kind of state a name is of: which may come back a little different, where a checkpoint is allowed that (checkpoint.mode near_exact),
// which is averaged, which no step depends on.
#pragma once
#include <string_view>

#include "checkpoint/state.h"

namespace thinwire::trainer {

// By the names of run_state(). Weights, anchors, estimates (whose mean over ranks is an identity) and all counters keep every bit.
inline checkpoint::Tolerance tolerance_of(std::string_view name) {
  using checkpoint::Tolerance;
  if (name.starts_with("optim/exp_avg_sq/")) return Tolerance::second_moment;
  if (name.starts_with("optim/")) return Tolerance::moment;
  if (name.starts_with("exchange/residual/") || name.starts_with("exchange/owed/")) return Tolerance::residual;
  return Tolerance::none;
}

// What an average of checkpoints is of: weights, and what local_steps counts their drift from, so that the two still belong together.
inline bool is_weight(std::string_view name) {
  return name.starts_with("model/") || name.starts_with("schedule/anchor/") || name.starts_with("schedule/departed/");
}

// What a run has counted so far: a resumed one has sent a little more than one that was not stopped.
inline bool is_count(std::string_view name) { return name.starts_with("metrics/"); }

}  // namespace thinwire::trainer

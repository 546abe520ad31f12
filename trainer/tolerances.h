// What kind of state a name is of: which may come back a little different, where a checkpoint is allowed that (checkpoint.mode near_exact
// and extreme), which is averaged, which no step depends on.
#pragma once
#include <string>
#include <string_view>

#include "checkpoint/state.h"

namespace thinwire::trainer {

// What an average of checkpoints is of: weights, and what local_steps counts their drift from, so that the two still belong together.
inline bool is_weight(std::string_view name) {
  return name.starts_with("model/") || name.starts_with("schedule/anchor/") || name.starts_with("schedule/departed/");
}

// What a run has counted so far: a resumed one has sent a little more than one that was not stopped.
inline bool is_count(std::string_view name) { return name.starts_with("metrics/"); }
// By the names of run_state(). Estimates (whose mean over ranks is an identity) and all counters keep every bit; in near_exact weights and
// anchors too.
inline checkpoint::Tolerance tolerance_of(std::string_view name) {
  using checkpoint::Tolerance;
  if (name.starts_with("optim/exp_avg_sq/")) return Tolerance::second_moment;
  if (name.starts_with("optim/")) return Tolerance::moment;
  if (name.starts_with("exchange/residual/") || name.starts_with("exchange/owed/")) return Tolerance::residual;
  return is_weight(name) ? Tolerance::weight : Tolerance::none;
}

// The tensor of the same parameter that is coded before it, and tells most about it (state.h).
inline std::string guide_of(std::string_view name) {
  constexpr std::string_view kFirst = "optim/exp_avg/", kSecond = "optim/exp_avg_sq/", kModel = "model/";
  if (name.starts_with(kSecond)) return std::string(kFirst).append(name.substr(kSecond.size()));
  if (name.starts_with("optim/") || (is_weight(name) && !name.starts_with(kModel)))
    return std::string(kModel).append(name.substr(name.find('/', name.find('/') + 1) + 1));
  return "";
}

}  // namespace thinwire::trainer

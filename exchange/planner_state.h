// What the next plan depends on beside the exchange's own state, as the text that checkpoints keep.
//
//   planner 2
//   NEXT_STEP SAMPLING ROUNDS_SAMPLED NUMBER_OF_FALLBACKS NUMBER_OF_GROWN
//   SLOT WHY                                                  of each fallback
//   SLOT                                                      of each that has grown
//   the plan (compressors/plan/plan.h), where there is one
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "compressors/plan/plan.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

struct PlannerState {
  uint64_t next_step = 0;  // sampling begins with the first exchange from this step on
  bool is_sampling = false;
  uint64_t rounds_sampled = 0;
  std::map<Slot, std::string> fallbacks;  // slots that travel dense, and why
  std::set<Slot> grown;                   // slots that will after the next step
  compressors::Plan plan;                 // version 0: none yet
};

std::string to_text(const PlannerState& state);
PlannerState parse_planner_state(std::string_view text, size_t num_slots);  // CorruptData where it is not such a text

}  // namespace thinwire::exchange

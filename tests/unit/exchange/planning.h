// What the tests of the planner share: a small model whose layers differ, and an exchange with its planner as one rank sees them.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "exchange/planner.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange::testing {

CompressOptions compress_options(const std::string& yaml);

struct PlannedTrial {
  int ranks = 2;
  CompressOptions options;
  std::vector<SlotSpec> slots;
  int64_t bucket_bytes = 12'000;
};
// Slots "embed" 64 x 32, "q" 32 x 32, "norm" 1 x 32, "head" 1 x 1500, "k" 40 x 30, by the options.
PlannedTrial planned_trial(int ranks, const std::string& yaml);

// Some layers' numbers are spread over many magnitudes, others alike: hard compression costs them differently.
Values layer_numbers(const SlotSpec& slot, uint64_t step, int rank);

struct PlannedRank {
  PlannedRank(comm::Driver& driver, const PlannedTrial& trial, Residence& residence = host_residence());
  // A round of layer_numbers() and what the trainer does after it. Returns after_step()'s answer.
  bool step(uint64_t step);
  void exchange_step(uint64_t step);
  std::vector<Slot> grown_on_any_rank();
  SlotValues values();
  std::map<std::string, std::vector<std::byte>> saved_state();
  void load_state(const std::map<std::string, std::vector<std::byte>>& saved);  // every piece must be there

  const PlannedTrial& trial;
  comm::Driver& driver;
  Exchange exchange;
  Planner planner;
};

}  // namespace thinwire::exchange::testing

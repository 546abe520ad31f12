// Which codec each parameter travels by, and why not the configured one where it does not.
#pragma once
#include <string>
#include <vector>

#include "compressors/plan/plan.h"
#include "exchange/options.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

struct ParameterShape {
  std::string name;
  int64_t rows = 1, cols = 0;
};

// Lets a sparse slot be merged by owners where the options ask for it and its codec can be cut.
void set_combine(SlotSpec& slot, const CompressOptions& options);

// Rules first, then min_elems (a rule that matches by name overrides it), then the default codec. Parameters of equal choice share one
// codec object, and so may share buckets. A rule that matches nothing is a ConfigError naming the nearest parameter.
std::vector<SlotSpec> plan_slots(const std::vector<ParameterShape>& parameters, const CompressOptions& options);

// The same as a plan of version 0, for people: bytes to be expected, and why not compressed; nothing is measured yet.
compressors::Plan configured_plan(const std::vector<SlotSpec>& slots, int num_ranks);

}  // namespace thinwire::exchange

// Which codec each parameter travels by, and why not the configured one where it does not.
#pragma once
#include <string>
#include <vector>

#include "exchange/options.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

struct ParameterShape {
  std::string name;
  int64_t rows = 1, cols = 0;
};

// Rules first, then min_elems (a rule that matches by name overrides it), then the default codec. Parameters of equal choice share one
// codec object, and so may share buckets. A rule that matches nothing is a ConfigError naming the nearest parameter.
std::vector<SlotSpec> plan_slots(const std::vector<ParameterShape>& parameters, const CompressOptions& options);

}  // namespace thinwire::exchange

// A run of the laboratory: the hosts, the wires between them, and what runs in there.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/netlab/hosts.h"
#include "tools/netlab/line.h"
#include "tools/netlab/units.h"

namespace thinwire::netlab {

struct Arguments {
  int hosts = 2;
  LineOptions wire;
  int mtu_bytes = 1500;
  uint64_t seed = 1;
  std::vector<Cut> cuts;
  std::optional<double> timeout_s;
  bool measure = false;
  std::vector<std::string> command;  // empty: measure
};

// Returns the exit code of the command or of the measurement, or kTimedOut. Unavailable where this machine cannot do it.
int run(const Arguments& arguments);

}  // namespace thinwire::netlab

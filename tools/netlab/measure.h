// Measures the link between two hosts of the laboratory with packets and a transfer of its own, and prints what it finds beside what was
// asked for. Within a Job, while somebody else carries the packets. Takes about ten seconds; each wait has a deadline.
#pragma once
#include "tools/netlab/hosts.h"
#include "tools/netlab/line.h"

namespace thinwire::netlab {

// One fact a line on standard output: "rate", "round_trip", "loss" and their values. Returns 0, or 1 when nothing came across.
int measure(const Host& from, const Host& to, const LineOptions& asked);

}  // namespace thinwire::netlab

// How ranks reach one another: latency, rate and the offset of their clocks, pair by pair, over the transport that a run would use.
#pragma once
#include <string>
#include <vector>

#include "app/doctor/finding.h"
#include "comm/driver.h"

namespace thinwire::app::doctor {

struct PairFigures {
  int a = 0, b = 0;
  double latency_s = 0;       // one way: half of the shortest round trip of a small message
  double bits_per_s = 0;      // each way, while both send
  double clock_offset_s = 0;  // of b's clock against a's, to about latency_s
};

// Collective. Every pair, one after another, for at most about half a second each; of more than kMostPairs the neighbours, and rank 0 with
// all. The same on all ranks.
inline constexpr int kMostPairs = 64;
std::vector<PairFigures> measure_links(comm::Driver& driver);

// A line for each pair, by the names of their hosts; notes where clocks are further apart than a second.
Findings findings_of(const std::vector<PairFigures>& pairs, const std::vector<std::string>& hosts);

}  // namespace thinwire::app::doctor

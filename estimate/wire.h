// What a run puts on the wire.
#pragma once
#include <string>

#include "estimate/subject.h"

namespace thinwire::estimate {

struct Wire {
  exchange::RoundTraffic round;  // of all fragments
  int64_t steps_per_round = 1;
  int64_t rounds = 0, dense_rounds = 0;  // of the whole run; the dense ones among them
  double step_bytes = 0;                 // by rank 0, once compressed, on average over the steps of a round
  double dense_step_bytes = 0;           // what a ring all-reduce of fp32 gradients sends: 8 n (N - 1) / N
  double run_bytes = 0;
  double ratio = 1;        // dense_step_bytes / step_bytes; 1 where nothing is sent
  double ratio_total = 1;  // of the run, dense rounds included
  std::string assumption;  // that figures rest on, for people; may be empty
};
Wire wire_of(const Subject& subject);

}  // namespace thinwire::estimate

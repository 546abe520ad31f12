// The `exchange` and `compress` sections: when ranks exchange, what, and how small.
#pragma once
#include <string>
#include <vector>

#include "compressors/registry.h"
#include "config/section.h"

namespace thinwire::exchange {

struct OuterOptions {
  std::string name = "sgd";  // sgd | nesterov
  double lr = 1.0;
  double momentum = 0.9;  // nesterov only
};
void describe(config::Section& section, OuterOptions& options);

struct ExchangeOptions {
  std::string schedule = "every_step";  // every_step | local_steps
  int64_t every = 5;                    // local_steps: optimiser steps per round
  OuterOptions outer;                   // local_steps: what is done with the mean drift
  int64_t bucket_bytes = 4'000'000;     // of fp32 values that travel together
  bool overlap = true;                  // post a bucket as soon as it is full, while backward runs
};
void describe(config::Section& section, ExchangeOptions& options);

struct FeedbackOptions {
  std::string name = "ef14";  // none | ef14
  double decay = 1.0;         // what remains of the residual at each round
};
void describe(config::Section& section, FeedbackOptions& options);

// Parameters whose name matches travel by this codec instead; the first rule that matches wins.
struct Rule {
  std::string match;
  compressors::CodecChoice choice;
};
void describe(config::Section& section, Rule& rule);

struct CompressOptions {
  compressors::CodecChoice choice;
  FeedbackOptions error_feedback;
  int64_t min_elems = 1024;  // smaller parameters travel dense
  config::Amount start;      // dense until then
  std::vector<Rule> rules;
};
void describe(config::Section& section, CompressOptions& options);

}  // namespace thinwire::exchange

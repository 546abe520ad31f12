// The `exchange` and `compress` sections: when ranks exchange, what, and how small.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "compressors/plan/options.h"
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
  int64_t delay = 0;                    // local_steps: steps that a round may take while training goes on
  int64_t fragments = 1;                // local_steps: parts of the model with rounds of their own
  int64_t bucket_bytes = 4'000'000;     // of fp32 values that travel together
  std::string hierarchy = "flat";       // flat | node: dense within a host, compressed between hosts
  bool overlap = true;                  // post a bucket as soon as it is full, while backward runs
};
void describe(config::Section& section, ExchangeOptions& options);

struct FeedbackOptions {
  std::string name = "ef14";       // none | ef14 | ef21 | ef21_sgdm | econtrol
  double decay = 1.0;              // ef14: what remains of the residual at each round
  std::string state = "fp32";      // ef14: fp32 | int8
  double beta = 0.1;               // ef21_sgdm: weight of the new gradient in the momentum
  std::optional<double> eta = {};  // econtrol; auto: the codec's guaranteed contraction
  std::string start = "dense";     // ef21, ef21_sgdm, econtrol: dense | zero
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
  std::string combine = "auto";  // auto | reencode
  FeedbackOptions error_feedback;
  int64_t min_elems = 1024;  // smaller parameters travel dense
  config::Amount start;      // dense until then
  std::vector<Rule> rules;
  compressors::PlanOptions plan;
  bool fallback = true;  // a parameter whose residual outgrows its bound travels dense from then on
};
void describe(config::Section& section, CompressOptions& options);

}  // namespace thinwire::exchange

// The `compress.plan` section: which layer is compressed how hard, decided again and again from the errors that were measured.
#pragma once
#include <cstdint>
#include <string>

#include "config/section.h"

namespace thinwire::compressors {

struct PlanOptions {
  std::string method = "off";         // off | lgreco
  int64_t every = 100;                // optimiser steps from one plan until the next is due
  int64_t samples = 4;                // exchanges whose sum is measured, the first ones from then on; the plan comes after them
  std::string reference = "uniform";  // uniform | accordion: the assignment whose error is the budget
  double alpha = 1.0;                 // budget = alpha * error of the reference
  std::string metric = "squared";     // squared | unsquared | relative: what is added up over layers (choose.h)
  std::string objective = "size";     // size | time: what is minimised, bytes on the wire or seconds
  std::string candidates = "family";  // family | mixed: the configured codec's strengths, or those of all codecs
  double critical_change = 0.5;       // accordion: a norm that changes by this share puts a layer into its critical regime
  int64_t sample_elems = 32768;       // of a layer that are measured where the codec can be cut; 0: all
};
void describe(config::Section& section, PlanOptions& options);

}  // namespace thinwire::compressors

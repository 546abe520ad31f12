// A pass of a small model, so that what LibTorch needs is there before it is measured. Internal to estimating.
#pragma once
#include "trainer/options.h"

namespace thinwire::trainer {

// Forward, backward and a step of the optimiser of a model of a few thousand parameters: afterwards what LibTorch needs of code and of
// memory of its own is there.
void run_tiny_pass(const Options& options);

}  // namespace thinwire::trainer

// What a run says of itself before its first step.
#pragma once
#include "comm/transport.h"
#include "trainer/parts.h"

namespace thinwire::trainer {

// The table at the start: what was understood, and what follows from it.
void announce(const Parts& parts, const comm::Transport& transport);

// What is likely not meant.
void warn_of_odd_choices(const Parts& parts);

}  // namespace thinwire::trainer

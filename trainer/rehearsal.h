// `train --dry-run`: all that a run does before its first step, and that step; what it would have taken is told, and nothing is written.
#pragma once
#include <optional>

#include "trainer/estimating.h"
#include "trainer/parts.h"
#include "trainer/resume.h"

namespace thinwire::trainer {

// All ranks call it with parts that are built and restored, which have trained afterwards. Takes a step with an exchange, and prints on
// rank 0 the resolved configuration, then as comments what was found: so what is printed is a configuration itself. `outlook`: nothing
// where the host's memory was not looked at.
ExitCode rehearse(Parts& parts, const Restored& restored, const comm::Transport& transport, const estimate::Subject& subject,
                  const std::optional<Outlook>& outlook);

}  // namespace thinwire::trainer

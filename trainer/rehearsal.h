// `train --dry-run`: all that a run does before its first step, and that step; what it would have taken is told, and nothing is written.
#pragma once
#include <optional>

#include "trainer/estimating.h"
#include "trainer/parts.h"
#include "trainer/resume.h"

namespace thinwire::trainer {

// All ranks call it with parts that are built and restored, which have trained afterwards. Looks for room and rights where the run
// directory is to be (ConfigError, CheckpointError), takes a step with an exchange, and prints on rank 0 the resolved configuration, then
// as comments what was found: so what is printed is a configuration itself. `outlook`: nothing where the host's memory was not looked at.
ExitCode rehearse(Parts& parts, const Restored& restored, const comm::Transport& transport, const estimate::Subject& subject,
                  const std::optional<Outlook>& outlook);

// ConfigError when the run directory cannot be made there for want of rights; CheckpointError when one checkpoint of so many bytes would
// not find room. Touches nothing.
void require_room(const std::filesystem::path& directory, double checkpoint_bytes);

}  // namespace thinwire::trainer

// How a process of ours says why it ends.
#pragma once
#include "base/error.h"

namespace thinwire::app {

// On standard error, and in the file that its launcher reads, unless an earlier failure is there. From any thread. Returns the failure's
// code.
ExitCode tell(const Failure& failure);
// The same of what all ranks end by: on rank 0 alone it is said on standard error, others note it in their own file.
ExitCode tell_once(const Failure& failure);

}  // namespace thinwire::app

// SIGTERM, SIGUSR1, SIGHUP (a closed terminal, unless nohup had it ignored) and the first Ctrl+C ask for a stop: the handler only sets a
// flag, the ranks agree on it at their next exchange, all save the same step and exit 75. A second Ctrl+C ends the process at once.
#pragma once

namespace thinwire::trainer {

void install_stop_handlers();  // process-wide
int stop_signal();             // the signal received, or 0

}  // namespace thinwire::trainer

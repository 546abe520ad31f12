// How this process shall take signals, by the word of whoever started it.
#pragma once
#include <csignal>

namespace thinwire {

// nohup starts programs with SIGHUP ignored, and means it: whoever handles a signal asks this first.
inline bool is_ignored(int signal) {
  struct sigaction action = {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace thinwire

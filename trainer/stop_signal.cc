#include "trainer/stop_signal.h"

#include <csignal>
#include <initializer_list>

#include "base/signals.h"

namespace thinwire::trainer {

namespace {
volatile std::sig_atomic_t g_signal = 0;  // what a handler may write

void on_signal(int signal) {
  if (signal == SIGINT && g_signal == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  g_signal = signal;
}
}  // namespace

void install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) sigaction(signal, &action, nullptr);
  if (!is_ignored(SIGHUP)) sigaction(SIGHUP, &action, nullptr);
}

int stop_signal() { return g_signal; }

}  // namespace thinwire::trainer

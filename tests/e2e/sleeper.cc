// A library to preload: a thread that gets SIGUSR2 sleeps where it is, and goes on when the file that THINWIRE_ASLEEP names is gone; that
// file then holds the thread's number. So a test lets one thread of a rank hang in whatever it is doing, while the process lives.
#include <fcntl.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <ctime>

namespace {
const char* asleep = nullptr;

void sleep_here(int) {
  const timespec moment = {0, 1'000'000};
  const pid_t thread = gettid();
  const int file = open(asleep, O_WRONLY | O_CLOEXEC);
  if (file >= 0 && write(file, &thread, sizeof thread) < 0) return;
  if (file >= 0) close(file);
  while (access(asleep, F_OK) == 0) nanosleep(&moment, nullptr);
}

__attribute__((constructor)) void install() {
  asleep = std::getenv("THINWIRE_ASLEEP");
  if (asleep == nullptr) return;
  struct sigaction action = {};
  action.sa_handler = sleep_here;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR2, &action, nullptr);
}
}  // namespace

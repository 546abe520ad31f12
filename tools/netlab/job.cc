#include "tools/netlab/job.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace thinwire::netlab {

namespace {
constexpr std::array kThatEnd{SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr std::array kPassedOn{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

sigset_t signals_of_interest() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int signal : kPassedOn) sigaddset(&set, signal);
  return set;
}

int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

int complain(const std::string& what, int code) {
  fmt::print(stderr, "[netlab] {}: {}\n", what, std::strerror(errno));
  return code;
}

int run_body(const std::function<int()>& body, const sigset_t& signals) {
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  try {
    const int code = body();
    std::fflush(stdout);
    return code;
  } catch (const Error& error) {
    fmt::print(stderr, "[netlab] {}\n", error.what());
    return static_cast<int>(error.code());
  }
}

// `parent_lives`: the reading end of a pipe whose other end only the parent holds. Who loses the parent before it asks for a signal at
// the parent's end would never get one.
bool tie_life_to_parent(int parent_lives) {
  char nothing;
  return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && read(parent_lives, &nothing, 1) < 0 && errno == EAGAIN;
}

int first_process(const std::function<int()>& body) {
  setsid();
  // As a slave: what is mounted outside is seen inside, and not the other way round.
  if (unshare(CLONE_NEWNS) < 0 || mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) < 0 ||
      mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) < 0) {
    return complain("skipped: mounting a /proc for the command", kSkipped);
  }
  const sigset_t signals = signals_of_interest();
  const pid_t command = fork();
  if (command < 0) return complain("starting a process", 1);
  if (command == 0) _exit(run_body(body, signals));
  while (true) {
    int signal = 0, status = 0;
    sigwait(&signals, &signal);
    if (signal != SIGCHLD) kill(command, signal);
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended == command) return exit_code(status);
    }
  }
}
}  // namespace

Job::Job(const std::function<int()>& body, std::optional<Time> deadline) : deadline_(deadline) {
  const sigset_t signals = signals_of_interest();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_ = Descriptor(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  int ends[2];
  if (signals_.get() < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) throw Error(ExitCode::other, "out of descriptors");
  const Descriptor parent_lives(ends[0]);
  life_ = Descriptor(ends[1]);
  std::fflush(nullptr);
  if (unshare(CLONE_NEWPID) < 0) throw Unavailable(fmt::format("creating a PID namespace: {}; it needs root", std::strerror(errno)));
  first_process_ = fork();
  if (first_process_ < 0) throw Error(ExitCode::other, fmt::format("starting a process: {}", std::strerror(errno)));
  if (first_process_ == 0) {
    life_.close();
    _exit(tie_life_to_parent(parent_lives.get()) ? first_process(body) : 1);
  }
}

Job::~Job() {
  if (first_process_ < 0) return;
  kill(first_process_, SIGKILL);
  waitpid(first_process_, nullptr, 0);
}

std::optional<int> Job::collect(Time now) {
  signalfd_siginfo received;
  while (read(signals_.get(), &received, sizeof received) == sizeof received) {
    if (received.ssi_signo != SIGCHLD) pass_on(static_cast<int>(received.ssi_signo), now);
  }
  int status = 0;
  if (waitpid(first_process_, &status, WNOHANG) != first_process_) return std::nullopt;
  first_process_ = -1;
  return timed_out_ ? kTimedOut : exit_code(status);
}

void Job::pass_on(int signal, Time now) {
  kill(first_process_, signal);
  const bool ends = std::find(kThatEnd.begin(), kThatEnd.end(), signal) != kThatEnd.end();
  if (ends && !kill_at_) kill_at_ = now + kGrace;
}

void Job::keep_deadlines(Time now) {
  if (kill_at_ && now >= *kill_at_) {
    fmt::print(stderr, "[netlab] the command has not ended within {} s of being asked to: killed\n", kGrace.count());
    kill(first_process_, SIGKILL);
    kill_at_ = Time::max();
  } else if (!kill_at_ && deadline_ && now >= *deadline_) {
    fmt::print(stderr, "[netlab] the command has reached its deadline (--timeout): asked to end\n");
    timed_out_ = true;
    pass_on(SIGTERM, now);
  }
}

}  // namespace thinwire::netlab

#include "launch/launcher.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/stopwatch.h"
#include "comm/options.h"
#include "launch/ranks.h"
#include "launch/seats.h"

namespace thinwire::launch {

namespace fs = std::filesystem;

namespace {
constexpr double kSettle_s = 5;  // after a failure: the others notice by themselves

// A console that is gone is no failure: ranks train and save without it.
void print(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  print("[launch] " + fmt::format(format, std::forward<Args>(args)...));
}

// A folder that is gone when we are.
class Scratch {
 public:
  Scratch() {
    std::string path = (fs::temp_directory_path() / "thinwire-launch-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr)
      throw Error(ExitCode::other, fmt::format("cannot make a folder in {}", fs::temp_directory_path().string()));
    path_ = path;
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Signals come as events, in order, to whoever reads them; also of children that end.
class Signals {
 public:
  Signals() {
    sigset_t caught;
    sigemptyset(&caught);
    for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) sigaddset(&caught, number);
    if (!is_ignored(SIGHUP)) sigaddset(&caught, SIGHUP);  // a descriptor would tell of it even so
    sigprocmask(SIG_BLOCK, &caught, nullptr);
    fd_ = Fd(signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC));
  }
  int fd() const { return fd_.get(); }
  // The next one that is not about a child; 0: none.
  int take() {
    signalfd_siginfo info;
    while (read(fd_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) return static_cast<int>(info.ssi_signo);
    }
    return 0;
  }

 private:
  Fd fd_;
};

// What has been asked of us while ranks run.
struct Course {
  Signals& signals;
  double grace_s;
  bool has_lifeline;
  int stop_signal = 0;  // the first that was handed on
};

// Hands signals on: each once. A launcher that has lost its own launcher stops as if by SIGTERM.
void hand_on(Ranks& ranks, Course& course) {
  const auto pass = [&](int number) {
    ranks.signal(number);
    if (course.stop_signal != 0) return;
    course.stop_signal = number;
    say("SIG{}: the ranks save and stop, within {:g} s{}", sigabbrev_np(number), course.grace_s,
        number == SIGINT ? "; Ctrl+C again ends them at once" : "");
  };
  while (const int number = course.signals.take()) pass(number == SIGHUP ? SIGTERM : number);
  pollfd lifeline = {STDIN_FILENO, POLLIN, 0};
  if (!course.has_lifeline || poll(&lifeline, 1, 0) <= 0) return;
  std::array<char, 256> ignored;
  if (read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) return;
  course.has_lifeline = false;
  pass(SIGTERM);
}

// Of those that the console has not shown.
void show_last_lines(const Ranks& ranks, int rank) {
  if (rank <= 0 || ranks.last_lines(rank).empty()) return;
  say("last lines of rank {}:", rank);
  for (const auto& line : ranks.last_lines(rank)) print("    " + line);
}

void report(const Ranks& ranks, const End& first) {
  const int code = exit_code_of(first);
  const Blame blame = blame_for(first);
  say("{}", blame.text);
  if (first.reason) say("why: {}", *first.reason);
  show_last_lines(ranks, ranks.has(blame.rank) ? blame.rank : first.rank);  // who is to blame may be on another host
  std::string others;
  for (const End& end : ranks.ends()) {
    if (end.failed() && exit_code_of(end) != code) others += fmt::format("{}{}", others.empty() ? "" : "; ", describe_end(end));
  }
  if (!others.empty()) say("then: {}", others);
}

// Until all have ended. The failure that came first, if there was one.
std::optional<End> attend(Ranks& ranks, Course& course, const std::function<void()>& look) {
  std::optional<Stopwatch> since_stop, since_failure, since_end;
  std::optional<End> first;
  std::vector<int> wakes = {course.signals.fd()};
  if (course.has_lifeline) wakes.push_back(STDIN_FILENO);
  while (!ranks.all_ended()) {
    ranks.attend(100, course.has_lifeline || wakes.size() == 1 ? wakes : std::vector<int>{course.signals.fd()});
    look();
    hand_on(ranks, course);
    if (course.stop_signal != 0 && !since_stop) since_stop.emplace();
    if (ranks.any_failed() && !since_failure) since_failure.emplace();
    if (since_failure && !since_end && course.stop_signal == 0 && since_failure->seconds() > kSettle_s) {
      first = first_failure(ranks.ends());
      report(ranks, *first);
      say("ending the ranks that still run");
      ranks.signal(SIGTERM);
      ranks.signal(SIGCONT);  // one that is stopped cannot take it
      since_end.emplace();
    }
    const bool is_over = (since_stop && since_stop->seconds() > course.grace_s) || (since_end && since_end->seconds() > course.grace_s);
    if (is_over) ranks.signal(SIGKILL);
  }
  look();
  if (first) return first;
  first = first_failure(ranks.ends());
  if (first && exit_code_of(*first) != static_cast<int>(ExitCode::requeue)) report(ranks, *first);
  return first;
}

bool may_be_restarted(int code) {
  for (const ExitCode hopeless : {ExitCode::usage, ExitCode::data, ExitCode::checkpoint, ExitCode::non_finite, ExitCode::requeue}) {
    if (code == static_cast<int>(hopeless)) return false;
  }
  return true;
}

int code_of(const std::optional<End>& first, int stop_signal) {
  if (!first) return 0;
  if (stop_signal != 0 && first->signal != 0) return 128 + (stop_signal == SIGUSR1 ? SIGTERM : stop_signal);  // it had no time to save
  return exit_code_of(*first);
}
}  // namespace

int world_of(const LaunchOptions& options) {
  if (options.world > 0) return options.world;
  return options.hostfile.empty() ? options.ranks * options.nodes : options.ranks;
}

void check_options(const LaunchOptions& options) {
  if (!options.hostfile.empty() && options.nodes > 1) {
    throw ConfigError("--hostfile and --nnodes contradict each other: the first starts all hosts from here, the second this one alone");
  }
  if (options.node < 0 || options.node >= options.nodes) {
    throw ConfigError(fmt::format("--node-rank {} is not below --nnodes {}; nodes count from 0", options.node, options.nodes));
  }
  if (options.nodes > 1 && options.rendezvous.empty()) {
    throw ConfigError(
        "--nnodes needs --rendezvous HOST:PORT: a host name or address of node 0, and a port that is free there, the same on all nodes");
  }
  if (options.rendezvous.empty()) return;
  comm::parse_host_port(options.rendezvous, "--rendezvous");
  if (options.world < 0 && world_of(options) == 1)
    throw ConfigError(
        "--rendezvous is where ranks meet, but -n 1 is one rank that meets nobody: leave it out, or give --nnodes or more ranks");
}

int launch(const LaunchOptions& options, const Work& work) {
  check_options(options);
  const bool is_remote = !options.hostfile.empty();
  const Scratch scratch;
  Signals signals;
  Course course{signals, options.grace_s, options.has_lifeline};
  const LocalSeats local(options, work, scratch.path());
  fs::path run_directory;
  for (int start = 0;; ++start) {
    const auto arguments = start > 0 && !run_directory.empty() ? work.resume(run_directory) : work.arguments;
    Ranks ranks(is_remote ? remote_seats(options, work) : local.make(start, arguments));
    bool has_files = false;
    const auto look = [&] {
      if (has_files || is_remote) return;
      std::ifstream note(local.note());
      std::string directory;
      if (!std::getline(note, directory)) return;
      run_directory = directory;
      ranks.open_files(run_directory / "logs");
      has_files = true;
    };
    const auto first = attend(ranks, course, look);
    const int code = code_of(first, course.stop_signal);
    if (code == 0 || !may_be_restarted(code)) return code;
    if (course.stop_signal != 0 || is_remote || start == options.restarts) {
      const std::string way_on = ranks.has(0) && !run_directory.empty() ? work.way_on(run_directory) : "";
      if (!way_on.empty()) say("{}", way_on);
      return code;
    }
    say("starting all ranks again ({} of {}){}", start + 1, options.restarts,
        run_directory.empty() ? "" : ", from the newest good checkpoint of " + run_directory.string());
  }
}

}  // namespace thinwire::launch

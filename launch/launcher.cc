#include "launch/launcher.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/options.h"
#include "comm/rendezvous/environment.h"
#include "launch/hosts.h"
#include "launch/ranks.h"

namespace thinwire::launch {

namespace fs = std::filesystem;

namespace {
constexpr double kSettle_s = 5;  // after a failure: the others notice by themselves

template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  fmt::print(stderr, "[launch] {}\n", fmt::format(format, std::forward<Args>(args)...));
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
    for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGCHLD}) sigaddset(&caught, number);
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

int guess_free_port() {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at = {};
  socklen_t bytes = sizeof at;
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &bytes) != 0)
    throw CommError("no port of 127.0.0.1 is free");
  return ntohs(at.sin_port);
}

std::string random_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

// Ranks on this host.
class LocalSeats {
 public:
  LocalSeats(const LaunchOptions& options, const Work& work, const fs::path& scratch)
      : options_(options), work_(work), scratch_(scratch), run_(options.nodes > 1 ? "launch" : random_name()) {}

  std::vector<Seat> make(int start, const std::vector<std::string>& arguments) const {
    const comm::HostPort meeting = options_.rendezvous.empty() ? comm::HostPort{"127.0.0.1", guess_free_port()}
                                                               : comm::parse_host_port(options_.rendezvous, "--rendezvous");
    const int first = options_.first_rank >= 0 ? options_.first_rank : options_.node * options_.ranks;
    std::vector<Seat> seats;
    for (int local = 0; local < options_.ranks; ++local) {
      Seat seat{.rank = first + local,
                .host = log::host_name(),
                .command = {},
                .report = scratch_ / fmt::format("error_{}_{}.json", start, local)};
      seat.is_live = seat.rank == 0;
      seat.command.argv = {work_.program};
      seat.command.argv.insert(seat.command.argv.end(), arguments.begin(), arguments.end());
      seat.command.environment = variables(seat, local, start, meeting);
      seats.push_back(std::move(seat));
    }
    return seats;
  }
  fs::path note() const { return scratch_ / "run_directory"; }

 private:
  std::vector<std::string> variables(const Seat& seat, int local, int start, const comm::HostPort& meeting) const {
    std::vector<std::string> all = {fmt::format("RANK={}", seat.rank),
                                    fmt::format("WORLD_SIZE={}", world_of(options_)),
                                    fmt::format("LOCAL_RANK={}", local),
                                    fmt::format("LOCAL_WORLD_SIZE={}", options_.ranks),
                                    fmt::format("GROUP_RANK={}", options_.node),
                                    fmt::format("NODE_RANK={}", options_.node),
                                    "MASTER_ADDR=" + meeting.host,
                                    fmt::format("MASTER_PORT={}", meeting.port),
                                    fmt::format("TORCHELASTIC_RESTART_COUNT={}", start),
                                    fmt::format("TORCHELASTIC_MAX_RESTARTS={}", options_.restarts),
                                    "TORCHELASTIC_ERROR_FILE=" + seat.report.string(),
                                    "THINWIRE_RUN=" + run_,
                                    fmt::format("THINWIRE_LAUNCHER={}", getpid())};
    if (options_.rendezvous.empty()) all.push_back("THINWIRE_GUESSED_PORT=1");  // the next ones will do, should it be taken meanwhile
    if (local == 0) all.push_back("THINWIRE_RUN_NOTE=" + note().string());
    if (!comm::environment_variable("OMP_NUM_THREADS"))
      all.push_back(fmt::format("OMP_NUM_THREADS={}", std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / options_.ranks)));
    return all;
  }

  const LaunchOptions& options_;
  const Work& work_;
  const fs::path scratch_;
  const std::string run_;
};

// A launcher on each host of the hostfile; of each the exit code and the console are its ranks'.
std::vector<Seat> remote_seats(const LaunchOptions& options, const Work& work) {
  const auto hosts = fill(read_hosts(options.hostfile), options.ranks, options.hostfile);
  std::string rendezvous = options.rendezvous;
  if (rendezvous.empty()) {
    std::random_device device;
    rendezvous = fmt::format("{}:{}", hosts.front().name, 20000 + static_cast<int>(device() % 9000));
  }
  std::vector<Seat> seats;
  int first_rank = 0;
  for (size_t node = 0; node < hosts.size(); ++node) {
    std::vector<std::string> words = {fs::absolute(work.program).string(),
                                      "launch",
                                      "--lifeline",
                                      "-n",
                                      std::to_string(hosts[node].slots),
                                      "--nnodes",
                                      std::to_string(hosts.size()),
                                      "--node-rank",
                                      std::to_string(node),
                                      "--rendezvous",
                                      rendezvous,
                                      "--first-rank",
                                      std::to_string(first_rank),
                                      "--world",
                                      std::to_string(options.ranks),
                                      "--restarts",
                                      std::to_string(options.restarts),
                                      "--grace",
                                      fmt::format("{:g}", options.grace_s),
                                      "--"};
    words.insert(words.end(), work.arguments.begin(), work.arguments.end());
    std::string line = fmt::format("cd {} && exec", quoted(fs::current_path().string()));
    for (const auto& word : words) line.append(" ").append(quoted(word));
    Seat seat{.rank = first_rank, .host = hosts[node].name, .command = {}, .report = {}, .is_live = true};
    seat.command.argv = {"ssh", "-o", "BatchMode=yes", hosts[node].name, line};
    seat.command.keeps_stdin_open = true;
    seats.push_back(std::move(seat));
    first_rank += hosts[node].slots;
  }
  return seats;
}

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

void report(const Ranks& ranks, const End& first) {
  const int code = exit_code_of(first);
  say("{}", describe_end(first));
  if (first.reason) say("why: {}", *first.reason);
  const auto& lines = ranks.last_lines(first.rank);
  if (first.rank != 0 && !lines.empty()) {
    say("its last lines:");
    for (const auto& line : lines) fmt::print(stderr, "    {}\n", line);
  }
  std::string others;
  for (const End& end : ranks.ends()) {
    if (end.rank != first.rank && end.failed() && exit_code_of(end) != code)
      others += fmt::format("{}{}", others.empty() ? "" : "; ", describe_end(end));
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
    if (code == 0 || course.stop_signal != 0 || is_remote || start == options.restarts || !may_be_restarted(code)) return code;
    say("starting all ranks again ({} of {}){}", start + 1, options.restarts,
        run_directory.empty() ? "" : ", from the newest good checkpoint of " + run_directory.string());
  }
}

}  // namespace thinwire::launch

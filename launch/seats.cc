#include "launch/seats.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/rendezvous/environment.h"
#include "launch/hosts.h"

namespace thinwire::launch {

namespace fs = std::filesystem;

namespace {
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
}  // namespace

LocalSeats::LocalSeats(const LaunchOptions& options, const Work& work, fs::path scratch)
    : options_(options), work_(work), scratch_(std::move(scratch)), run_(options.nodes > 1 ? "launch" : random_name()) {}

std::vector<Seat> LocalSeats::make(int start, const std::vector<std::string>& arguments) const {
  const comm::HostPort meeting = options_.rendezvous.empty() ? comm::HostPort{"127.0.0.1", guess_free_port()}
                                                             : comm::parse_host_port(options_.rendezvous, "--rendezvous");
  const int first = options_.first_rank >= 0 ? options_.first_rank : options_.node * options_.ranks;
  std::vector<Seat> seats;
  for (int local = 0; local < options_.ranks; ++local) {
    Seat seat{
        .rank = first + local, .host = log::host_name(), .command = {}, .report = scratch_ / fmt::format("error_{}_{}.json", start, local)};
    seat.is_live = seat.rank == 0;
    seat.command.argv = {work_.program};
    seat.command.argv.insert(seat.command.argv.end(), arguments.begin(), arguments.end());
    seat.command.environment = variables(seat, local, start, meeting);
    seats.push_back(std::move(seat));
  }
  return seats;
}

std::vector<std::string> LocalSeats::variables(const Seat& seat, int local, int start, const comm::HostPort& meeting) const {
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
    Seat seat{.rank = kLauncher, .host = hosts[node].name, .command = {}, .report = {}, .is_live = true};
    seat.command.argv = {"ssh", "-o", "BatchMode=yes", hosts[node].name, line};
    seat.command.keeps_stdin_open = true;
    seats.push_back(std::move(seat));
    first_rank += hosts[node].slots;
  }
  return seats;
}

}  // namespace thinwire::launch

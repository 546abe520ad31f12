#include "launch/ranks.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace thinwire::launch {

namespace {
void read_all(Fd& fd, Stream stream, Output& output) {
  std::array<char, 16384> bytes;
  while (fd.is_open()) {
    const ssize_t num_bytes = ::read(fd.get(), bytes.data(), bytes.size());
    if (num_bytes > 0) output.read(stream, {bytes.data(), static_cast<size_t>(num_bytes)});
    if (num_bytes == 0) fd.reset();
    if (num_bytes < 0) return;  // nothing for now
  }
}
}  // namespace

Ranks::Ranks(std::vector<Seat> seats) {
  try {
    for (auto& seat : seats) {
      auto process = start(seat.command);
      auto output = std::make_unique<Output>(seat.is_live);
      all_.push_back({std::move(seat), std::move(process), std::move(output), {}});
    }
  } catch (...) {
    signal(SIGKILL);
    throw;
  }
}

Ranks::~Ranks() {
  signal(SIGKILL);
  for (One& one : all_) {
    if (!one.process.has_ended) waitpid(one.process.pid, nullptr, 0);
  }
}

void Ranks::attend(int timeout_ms, const std::vector<int>& wakes) {
  std::vector<pollfd> waiting;
  for (const int fd : wakes) waiting.push_back({fd, POLLIN, 0});
  for (const One& one : all_) {
    for (const Fd* fd : {&one.process.out, &one.process.err}) {
      if (fd->is_open()) waiting.push_back({fd->get(), POLLIN, 0});
    }
  }
  poll(waiting.data(), waiting.size(), timeout_ms);
  for (One& one : all_) {
    read(one);
    reap(one);
  }
}

void Ranks::read(One& one) {
  read_all(one.process.out, Stream::out, *one.output);
  read_all(one.process.err, Stream::err, *one.output);
}

void Ranks::reap(One& one) {
  Process& process = one.process;
  if (process.has_ended || waitpid(process.pid, &process.status, WNOHANG) != process.pid) return;
  process.has_ended = true;
  one.end = {.rank = one.seat.rank, .host = one.seat.host, .timestamp_us = now_us(), .reason = std::nullopt};
  if (WIFSIGNALED(process.status)) {
    one.end.signal = WTERMSIG(process.status);
  } else {
    one.end.code = WEXITSTATUS(process.status);
    explain_ssh(one.end);
  }
  if (const auto report = one.seat.report.empty() ? std::nullopt : read_error_report(one.seat.report)) {
    one.end.reason = report->message;
    one.end.timestamp_us = report->timestamp_us;
  }
  read(one);  // what it said last
  one.output->end();
  process.out.reset();  // somebody that it started may hold the other end
  process.err.reset();
}

void Ranks::signal(int number) {
  for (One& one : all_) {
    if (one.process.has_ended) continue;
    if (one.process.in.is_open() && number != SIGKILL) {
      one.process.in.reset();  // its launcher stops its ranks, and still tells how they end
    } else {
      kill(one.process.pid, number);
    }
  }
}

bool Ranks::all_ended() const {
  return std::all_of(all_.begin(), all_.end(), [](const One& one) { return one.process.has_ended; });
}

bool Ranks::any_failed() const {
  return std::any_of(all_.begin(), all_.end(), [](const One& one) { return one.process.has_ended && one.end.failed(); });
}

std::vector<End> Ranks::ends() const {
  std::vector<End> ends;
  for (const One& one : all_) {
    if (one.process.has_ended) ends.push_back(one.end);
  }
  return ends;
}

bool Ranks::has(int rank) const {
  return std::any_of(all_.begin(), all_.end(), [&](const One& one) { return one.seat.rank == rank; });
}

const std::deque<std::string>& Ranks::last_lines(int rank) const {
  return std::find_if(all_.begin(), all_.end(), [&](const One& one) { return one.seat.rank == rank; })->output->last_lines();
}

void Ranks::open_files(const std::filesystem::path& logs) {
  std::error_code ignored;  // open_file says it
  std::filesystem::create_directories(logs, ignored);
  for (One& one : all_) one.output->open_file(logs / fmt::format("rank_{:05}.out", one.seat.rank));
}

}  // namespace thinwire::launch

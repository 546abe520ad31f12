#include "launch/failure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "comm/hang.h"

namespace thinwire::launch {

namespace fs = std::filesystem;

namespace {
constexpr std::uintmax_t kMostReportBytes = 1 << 20;
constexpr int kSshFailed = 255;  // its exit code, ssh(1); else it ends with that of what it ran

bool begins_with_rank(std::string_view text) {
  constexpr std::string_view kRank = "rank ";
  if (!text.starts_with(kRank)) return false;
  text.remove_prefix(kRank.size());
  const size_t digits = text.find_first_not_of("0123456789");
  return digits != 0 && digits != std::string_view::npos;
}

const char* hint_of(int signal) {
  switch (signal) {
    case SIGKILL: return " (likely out of host memory: dmesg names what the kernel killed)";
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE: return " (a crash)";
    case SIGABRT: return " (it gave up: a broken invariant, or an exception that nobody caught)";
    default: return "";
  }
}
}  // namespace

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void write_error_report(const fs::path& path, ExitCode code, const std::string& message) noexcept {
  try {
    std::error_code failed;
    if (fs::exists(path, failed)) return;
    const int64_t now = now_us();
    nlohmann::json report;
    report["message"] = {{"message", message}, {"extraInfo", {{"timestamp", std::to_string(now / 1'000'000)}, {"py_callstack", ""}}}};
    report["exit_code"] = static_cast<int>(code);
    report["timestamp_us"] = now;
    const fs::path temporary = path.string() + ".tmp";
    {
      std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
      file << report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::flush;
      if (!file) return;
    }
    fs::rename(temporary, path, failed);
  } catch (...) {  // it is only a report
  }
}

std::optional<ErrorReport> read_error_report(const fs::path& path) {
  std::error_code failed;
  const auto num_bytes = fs::file_size(path, failed);
  if (failed || num_bytes > kMostReportBytes) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    return ErrorReport{json.at("message").at("message").get<std::string>(), json.at("timestamp_us").get<int64_t>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

void explain_ssh(End& end) {
  if (end.rank != kLauncher || end.code != kSshFailed) return;
  end.code = static_cast<int>(ExitCode::comm);
  end.reason = fmt::format(
      "ssh cannot reach {0}, or has lost it: `ssh -o BatchMode=yes {0} true` has to work, without a password; --nnodes, --node-rank and "
      "--rendezvous, given on each host, need no ssh",
      end.host);
}

bool blames_another(const std::string& message) {
  constexpr std::string_view kLost = "lost ";
  const std::string_view text = message;
  return begins_with_rank(text) || (text.starts_with(kLost) && begins_with_rank(text.substr(kLost.size())));
}

std::optional<End> first_failure(std::span<const End> ends) {
  std::optional<End> first;
  const auto order = [](const End& end) { return std::pair(end.reason && blames_another(*end.reason), end.timestamp_us); };
  for (const End& end : ends) {
    if (end.failed() && (!first || order(end) < order(*first))) first = end;
  }
  return first;
}

int exit_code_of(const End& end) { return end.signal != 0 ? 128 + end.signal : end.code; }

std::string meaning_of(int exit_code) {
  switch (exit_code) {
    case 2: return "usage or configuration";
    case 3: return "data missing or corrupt";
    case 4: return "checkpoint missing, corrupt or incompatible";
    case 5: return "rendezvous or transport";
    case 6: return "no progress";
    case 7: return "non-finite values";
    case 8: return "out of memory";
    case 75: return "stopped by a signal after a good checkpoint";
    default: return {};
  }
}

std::string describe_end(const End& end) {
  const std::string who = end.rank == kLauncher ? "the ranks on " + end.host : fmt::format("rank {} on {}", end.rank, end.host);
  if (end.signal != 0) {
    const char* name = sigabbrev_np(end.signal);
    return fmt::format("{}: killed by {}{}", who, name == nullptr ? std::to_string(end.signal) : fmt::format("SIG{}", name),
                       hint_of(end.signal));
  }
  const std::string meaning = meaning_of(end.code);
  return fmt::format("{}: exit code {}{}", who, end.code, meaning.empty() ? "" : " (" + meaning + ")");
}

Blame blame_for(const End& first) {
  const auto missing = comm::missing_ranks(first.reason.value_or(""));
  if (missing.empty() || missing.front() == first.rank) return {first.rank, describe_end(first)};
  const bool is_one = missing.size() == 1;
  return {missing.front(), fmt::format("rank{} {} {} not go on, reported by {}", is_one ? "" : "s", fmt::join(missing, ", "),
                                       is_one ? "does" : "do", describe_end(first))};
}

}  // namespace thinwire::launch

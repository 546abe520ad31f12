#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"

namespace thinwire::log {

struct RankLog {
  struct Line {
    spdlog::log_clock::time_point time;
    spdlog::level::level_enum level;
    std::string text;
  };
  static constexpr size_t kMostEarlyLines = 1000;

  int rank = 0;
  std::shared_ptr<spdlog::logger> out, err;
  std::mutex mutex;  // of these:
  std::shared_ptr<spdlog::logger> file;
  std::vector<Line> early;  // until there is a file
};

namespace {
std::shared_ptr<spdlog::logger> logger_to(std::shared_ptr<spdlog::sinks::sink> sink, const char* pattern) {
  auto logger = std::make_shared<spdlog::logger>("thinwire", std::move(sink));
  logger->set_pattern(pattern);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

std::shared_ptr<RankLog> make(int rank) {
  auto log = std::make_shared<RankLog>();
  log->rank = rank;
  log->out = logger_to(std::make_shared<spdlog::sinks::stdout_sink_mt>(), "%v");
  log->err = logger_to(std::make_shared<spdlog::sinks::stderr_sink_mt>(), "%v");
  return log;
}

thread_local std::shared_ptr<RankLog> t_log;

RankLog& here() {
  if (!t_log) t_log = make(0);
  return *t_log;
}

constexpr const char* kNames[] = {"", "warning: ", "error: "};
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::info, spdlog::level::warn, spdlog::level::err};

// A disk may keep whoever writes to it waiting: nobody shall wait for the lock meanwhile.
std::shared_ptr<spdlog::logger> file_or_keep(RankLog& log, spdlog::level::level_enum level, std::string_view message) {
  const std::lock_guard lock(log.mutex);
  if (!log.file && log.early.size() < RankLog::kMostEarlyLines)
    log.early.push_back({spdlog::log_clock::now(), level, std::string(message)});
  return log.file;
}
}  // namespace

void set_rank(int rank) { t_log = make(rank); }
int rank() { return here().rank; }
std::shared_ptr<RankLog> current() {
  here();
  return t_log;
}
void adopt(std::shared_ptr<RankLog> log) { t_log = std::move(log); }

void open_file(const std::filesystem::path& path) {
  try {
    std::filesystem::create_directories(path.parent_path());
    const auto file = logger_to(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string()), "%Y-%m-%dT%H:%M:%S.%e %l %v");
    RankLog& log = here();
    file->set_error_handler([path, err = log.err, rank = log.rank, told = std::make_shared<std::atomic_flag>()](const std::string& why) {
      if (!told->test_and_set()) err->warn("[rank {} {}] warning: lines are missing from {}: {}", rank, host_name(), path.string(), why);
    });
    const std::lock_guard lock(log.mutex);
    for (const RankLog::Line& line : std::exchange(log.early, {})) file->log(line.time, spdlog::source_loc{}, line.level, line.text);
    log.file = file;
  } catch (const std::exception& e) {
    throw Error(ExitCode::other, fmt::format("cannot open the log file {}: {}", path.string(), e.what()));
  }
}

void write(Level level, std::string_view message) {
  RankLog& log = here();
  const auto index = static_cast<size_t>(level);
  if (level == Level::info) {
    if (log.rank == 0) log.out->log(spdlog::level::info, message);
  } else {
    log.err->log(kLevels[index], "[rank {} {}] {}{}", log.rank, host_name(), kNames[index], message);
  }
  if (const auto file = file_or_keep(log, kLevels[index], message)) file->log(kLevels[index], message);
}

std::string host_name() {
  char name[256] = "unknown";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace thinwire::log

#include "trainer/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <thread>

#include "base/error.h"
#include "base/listing.h"
#include "base/text.h"
#include "checkpoint/layout.h"

namespace thinwire::trainer {

namespace fs = std::filesystem;

namespace {
constexpr const char* kLockName = ".lock";  // no sign of a run: it says nothing once nobody holds it
constexpr const char* kStampFormat = "%Y%m%d-%H%M%S";
constexpr size_t kStampLength = 15;  // of a date and time in that format
constexpr std::array kOurs = {"config.yaml", "run.json", "metrics.jsonl", "logs",  "checkpoints", "samples",
                              "plans",       "tb",       "tokenizer",     "trace", "hang"};

std::string auto_name(const std::string& stem) {
  const std::time_t now = std::time(nullptr);
  std::tm local;
  localtime_r(&now, &local);
  char stamp[kStampLength + 1];
  std::strftime(stamp, sizeof stamp, kStampFormat, &local);
  return stem + "-" + stamp;
}

bool is_stamp(std::string_view text) {
  return text.size() == kStampLength && text[8] == '-' && text.find_first_not_of("0123456789-") == std::string_view::npos;
}

std::optional<fs::path> newest_auto_run(const fs::path& dir, const std::string& stem) {
  std::optional<fs::path> newest;
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator(dir, unreadable)) {
    const std::string name = entry.path().filename();
    if (!entry.is_directory() || !name.starts_with(stem + "-") || !is_stamp(std::string_view(name).substr(stem.size() + 1))) continue;
    if (!newest || newest->filename() < entry.path().filename()) newest = entry.path();
  }
  return newest;
}

// Of the files in it, or of the one that it is.
double bytes_below(const fs::path& path) {
  std::error_code unreadable;
  if (fs::is_regular_file(path, unreadable)) return static_cast<double>(fs::file_size(path, unreadable));
  double bytes = 0;
  for (fs::recursive_directory_iterator at(path, unreadable), end; !unreadable && at != end; at.increment(unreadable)) {
    std::error_code gone;
    if (const auto size = fs::file_size(at->path(), gone); !gone) bytes += static_cast<double>(size);
  }
  return bytes;
}

bool is_occupied(const fs::path& directory) {
  std::error_code absent;
  const fs::directory_iterator entries(directory, absent);
  return std::any_of(begin(entries), end(entries), [](const auto& entry) { return entry.path().filename() != kLockName; });
}

RunLocation locate_checkpoint(const fs::path& given) {
  const fs::path path = checkpoint::with_name(given);
  if (!fs::exists(path)) {
    throw CheckpointError(fmt::format("--resume {}: it is neither auto nor never, and there is no such file or directory{}; {}",
                                      given.string(), did_you_mean(given.string(), std::array<std::string, 2>{"auto", "never"}),
                                      what_is_there(path)));
  }
  const std::string name = path.filename();
  if (name.starts_with("step-")) {
    if (name.size() == 5 || name.find_first_not_of("0123456789", 5) != std::string::npos) {
      throw CheckpointError(fmt::format("--resume {}: '{}' is not a checkpoint's name (step-00000100)", given.string(), name));
    }
    const fs::path run = fs::absolute(path).parent_path().parent_path();
    return {run, run, std::stoll(name.substr(5)), true};
  }
  if (!fs::is_directory(path / "checkpoints")) {
    throw CheckpointError(
        fmt::format("--resume {}: it has no folder 'checkpoints'; name a run directory or one of its checkpoints/step-N; {}",
                    given.string(), contents_of(path)));
  }
  return {path, path, std::nullopt, true};
}

void refuse_to_go_back(const RunLocation& location) {
  if (!location.step) return;
  const auto steps = checkpoint::steps_in(location.directory / "checkpoints");
  if (steps.empty() || steps.front() <= *location.step) return;
  throw ConfigError(fmt::format(
      "{} has gone on to step {}, and what follows from step {} would be another course among its checkpoints; give it a name of "
      "its own with --set run.name=NAME, or go on from the newest good one by --resume auto",
      location.directory.string(), steps.front(), *location.step));
}

RunLocation locate_from_path(const RunOptions& options, const fs::path& path) {
  RunLocation location = locate_checkpoint(path);
  if (options.name != "auto") {
    const fs::path named = fs::path(options.dir) / options.name;
    if (fs::weakly_canonical(named) != fs::weakly_canonical(location.source)) location.directory = named;
  }
  if (!location.branches()) refuse_to_go_back(location);
  return location;
}

RunLocation in_place(const fs::path& directory, bool may_resume) { return {directory, directory, std::nullopt, may_resume}; }
}  // namespace

RunLocation locate_run(const RunOptions& options, const Resume& resume, const std::string& stem) {
  if (resume.mode == Resume::Mode::path) return locate_from_path(options, resume.path);
  const bool automatic = resume.mode == Resume::Mode::automatic;
  if (options.name != "auto") return in_place(fs::path(options.dir) / options.name, automatic);
  if (automatic) {
    if (const auto newest = newest_auto_run(options.dir, stem)) return in_place(*newest, true);
  }
  return in_place(fs::path(options.dir) / auto_name(stem), automatic);
}

IfOccupied if_occupied(const RunLocation& location, bool overwrite) {
  if (!location.may_resume || location.branches()) return overwrite ? IfOccupied::overwrite : IfOccupied::refuse;
  if (overwrite) throw ConfigError("--overwrite and --resume contradict each other: one starts anew, the other goes on");
  return IfOccupied::keep;
}

void check_directory(const fs::path& directory, IfOccupied if_occupied) {
  std::error_code unreadable;
  if (fs::exists(directory, unreadable) && !fs::is_directory(directory, unreadable)) {
    throw ConfigError(fmt::format("the run directory {} is a file; choose another run.name or run.dir", directory.string()));
  }
  if (if_occupied == IfOccupied::refuse && is_occupied(directory)) {
    throw ConfigError(fmt::format(
        "the run directory {} is not empty; go on with it by --resume auto, replace it by --overwrite, or choose another run.name",
        directory.string()));
  }
}

fs::path nearest_existing(const fs::path& path) {
  std::error_code unreadable;
  fs::path at = fs::absolute(path);
  while (!fs::exists(at, unreadable) && at.has_relative_path()) at = at.parent_path();
  return at;
}

std::string why_not_made(const fs::path& directory) {
  const fs::path at = nearest_existing(directory);
  std::error_code unreadable;
  if (fs::exists(at, unreadable) && !fs::is_directory(at, unreadable)) return at.string() + " is a file, not a directory";
  if (access(at.c_str(), W_OK | X_OK) == 0) return "";
  return fmt::format("this user may not write in {}: {}", at.string(), std::strerror(errno));
}

double bytes_given_back(const fs::path& directory, IfOccupied if_occupied) {
  double bytes = 0;
  if (if_occupied == IfOccupied::overwrite) {
    for (const char* ours : kOurs) bytes += bytes_below(directory / ours);
  }
  if (if_occupied == IfOccupied::keep) {
    for (const std::string& name : checkpoint::work_in(directory / "checkpoints")) {
      const checkpoint::Work work = checkpoint::parse_work_name(name)->work;
      if (work == checkpoint::Work::tmp || work == checkpoint::Work::trash) bytes += bytes_below(directory / "checkpoints" / name);
    }
  }
  return bytes;
}

RunLock::RunLock(const fs::path& directory) {
  const fs::path path = directory / kLockName;
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) throw ConfigError(fmt::format("cannot make {}: {}", path.string(), std::strerror(errno)));
  for (int tenths = 0; flock(file_, LOCK_EX | LOCK_NB) != 0; ++tenths) {  // a run that was just killed may still be on its way out
    if (tenths == 50) {
      close(file_);
      throw ConfigError(
          fmt::format("another process is training in {}; wait for it, stop it, or choose another run.name", directory.string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

RunLock::~RunLock() {
  if (file_ >= 0) close(file_);
}

RunLock lock_former_run(const fs::path& directory) { return fs::exists(directory / kLockName) ? RunLock(directory) : RunLock(); }

RunLock prepare_directory(const fs::path& directory, IfOccupied if_occupied, RunLock lock) {
  check_directory(directory, if_occupied);
  try {
    fs::create_directories(directory);
    if (!lock.held()) lock = RunLock(directory);
    fs::remove_all(directory / "flight");  // of a former start
    if (if_occupied == IfOccupied::overwrite) {
      for (const char* ours : kOurs) fs::remove_all(directory / ours);
    }
    return lock;
  } catch (const fs::filesystem_error& e) {
    throw ConfigError(fmt::format("cannot make the run directory {}: {}", directory.string(), e.code().message()));
  }
}

}  // namespace thinwire::trainer

// Where a run lives on disk: <run.dir>/<run.name>/{config.yaml, run.json, metrics.jsonl, logs/, tb/, checkpoints/, samples/, tokenizer/}.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "trainer/options.h"

namespace thinwire::trainer {

struct Resume {
  enum class Mode { never, automatic, path };
  Mode mode = Mode::never;
  std::filesystem::path path;  // a run directory, or one checkpoint in it
};

struct RunLocation {
  std::filesystem::path directory;
  std::filesystem::path source;  // the run whose checkpoints it begins with: this one, or another that it branches off from
  std::optional<int64_t> step;   // asked for by --resume PATH/checkpoints/step-N; otherwise the newest good one
  bool may_resume = false;

  bool branches() const { return source != directory; }
};

// Decides the directory; touches nothing. `stem` is the config file's name, for `name: auto`; with --resume auto that is the newest
// directory of that stem. --resume PATH goes on in the run of that path where `name` is auto or this is the place that the options name;
// else a new run branches off, in the place that they name. CheckpointError when --resume names something that is not there; ConfigError
// when it would go on from before what the run has already saved: two courses of one run would be mixed.
RunLocation locate_run(const RunOptions& options, const Resume& resume, const std::string& stem);

enum class IfOccupied { refuse, overwrite, keep };
// What a start there does to what it finds. ConfigError when it is to be replaced and gone on with at once.
IfOccupied if_occupied(const RunLocation& location, bool overwrite);
// ConfigError when the run could not live there: the path is a file, or it is not empty and `refuse`. Touches nothing.
void check_directory(const std::filesystem::path& directory, IfOccupied if_occupied);

// The path, or the folder nearest above it that is there: whose rights and room decide whether the path can be made.
std::filesystem::path nearest_existing(const std::filesystem::path& path);
// Why this user can make no directory there, "/data/x is a file, not a directory"; empty where it can. Touches nothing.
std::string why_not_made(const std::filesystem::path& directory);
// What a start there gives back to the disk: of a run that is replaced all, of one that goes on what saves that were cut short have left.
double bytes_given_back(const std::filesystem::path& directory, IfOccupied if_occupied);

// Held by rank 0 for as long as it trains: the kernel lets go of it when the process ends, however it ends.
class RunLock {
 public:
  RunLock() = default;
  explicit RunLock(const std::filesystem::path& directory);  // ConfigError when another process holds it, after a few seconds of patience
  ~RunLock();
  bool held() const { return file_ >= 0; }
  RunLock(RunLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  RunLock& operator=(RunLock&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }

 private:
  int file_ = -1;
};

// The lock of a run that lived there before; not held where there was none. To be taken before its checkpoints are looked at: a process
// that still trains there may write a newer one, and then end.
RunLock lock_former_run(const std::filesystem::path& directory);

// Makes and locks the directory, unless it is locked already; `overwrite` removes what earlier runs left there under our names. Called when
// nothing else can refuse the run.
RunLock prepare_directory(const std::filesystem::path& directory, IfOccupied if_occupied, RunLock lock = {});

}  // namespace thinwire::trainer

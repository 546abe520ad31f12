// Checkpoints of a run: <run>/checkpoints/step-00000100/{manifest.json, model.safetensors, rank-00000.safetensors, ..., COMPLETE}.
//
// A directory named step-N is complete, always: everything is written and fsynced under another name, COMPLETE is put inside, and the rename
// is the commit (docs/formats/checkpoint.md). Coordinated: all ranks call save and load at the same step.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/state.h"
#include "comm/driver.h"
#include "config/section.h"

namespace thinwire::checkpoint {

struct CheckpointOptions {
  int64_t every = 100;  // steps; 0: only when stopped by a signal and at the end
  int64_t keep = 3;     // committed checkpoints that stay on disk; 0: all
};
void describe(config::Section& section, CheckpointOptions& options);

// Facts about the run that must agree before its state is used, and what a person sees in `ckpt ls`.
struct RunFacts {
  std::string run_name, config_hash, version;
  std::map<std::string, std::string> config;  // flattened, to name the keys that differ
};

class Store {
 public:
  Store(std::filesystem::path directory, comm::Driver& driver);

  // All ranks together. On success the directory step-N exists and older ones beyond `keep` are gone. When any rank fails (disk full), every
  // rank gets the same CheckpointError, nothing named step-* is new, and the temporary files are removed: training may go on.
  void save(int64_t step, const State& state, const RunFacts& facts, int64_t keep);

  // The newest committed step whose files verify, agreed by all ranks; a damaged one is skipped with a warning that names the defect.
  // nullopt: there is no checkpoint at all. CheckpointError when there are some but none is whole.
  std::optional<int64_t> newest_good();

  // Reads and validates everything first (names, shapes, dtypes, world size: CheckpointError lists up to ten mismatches), then fills
  // state.tensors' memory and state.numbers.
  void load(int64_t step, State& state);
  RunFacts facts(int64_t step) const;

 private:
  std::filesystem::path directory_;
  comm::Driver& driver_;
};

// For `thinwire ckpt`: no run, no ranks.
struct Listing {
  int64_t step = 0;
  std::filesystem::path path;
  uint64_t bytes = 0;
  int world = 0;
  std::string created;
};
std::vector<Listing> list(const std::filesystem::path& directory);          // committed ones, by step
std::string inspect(const std::filesystem::path& step_directory);           // what is in it, for people
// Empty when every byte is accounted for; else one line per defect.
std::vector<std::string> verify(const std::filesystem::path& step_directory);

}  // namespace thinwire::checkpoint

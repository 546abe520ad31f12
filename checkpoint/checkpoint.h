// Checkpoints of a run: <run>/checkpoints/step-00000100/{manifest.json, model.safetensors, rank-00000.safetensors, ..., COMPLETE}.
//
// A directory named step-N is complete, always: everything is written and fsynced under another name, COMPLETE is put inside, and the
// rename is the commit (docs/formats/checkpoint.md).
//
// Save, newest_good and load are collective: all ranks call them in the same order with the same step, one at a time on each, and all get
// the same result or the same CheckpointError. Ranks talk on the driver's background lane, so that training and its exchange may go on
// beside a save (background_saver.h). The directory must be on storage that every rank's host shares. A lost peer is a CommError; what was
// being written stays behind under a temporary name until the next save.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/worker.h"
#include "checkpoint/files.h"
#include "checkpoint/state.h"
#include "comm/driver.h"
#include "config/section.h"

namespace thinwire::checkpoint {

struct CheckpointOptions {
  int64_t every = 100;     // steps; 0: only when stopped by a signal and at the end
  int64_t keep = 3;        // newest committed checkpoints that stay on disk; 0: all
  int64_t keep_every = 0;  // those of these steps stay besides; 0: none
  // exact: tensors are coded where that makes them smaller, and every byte comes back; near_exact: but optimiser moments and residuals,
  // which come back within a tolerance; extreme: weights, too, lose what matters least (extreme/family.h); raw: as they are
  std::string mode = "exact";
  std::string moments = "8";     // bits; near_exact: 8 | 4
  std::string pruning = "mild";  // extreme: mild | aggressive
  std::string base =
      "none";               // previous: what is saved may be coded against the checkpoint before it, where that pays; none: it stands alone
  int64_t threads = 1;      // of each rank, that code and decode
  bool async = true;        // training waits for a copy of the state alone; the rest of a save happens beside the next steps
  double timeout_s = 1800;  // of a rank at one part of a save or a load, before the run counts as hung
  std::string when_busy = "wait";  // a save is due while the one before is still under way. wait: for that one; skip: the one that is due
};
void describe(config::Section& section, CheckpointOptions& options);

// The state came from a checkpoint that did not hold all bits of what was saved, or that nobody trained: what follows is another
// trajectory.
struct LossyRestore {
  int64_t step = 0;
  uint64_t manifest_hash = 0;
  std::string how;  // "near_exact" | "extreme" | "average"
  bool operator==(const LossyRestore&) const = default;
};

// Facts about the run that must agree before its state is used, and what a person sees in `ckpt ls`.
struct RunFacts {
  std::string run_name, config_hash, version;
  std::map<std::string, std::string> config;      // flattened, to name the keys that differ
  std::map<std::string, std::string> notes;       // what must be known before the state's tensors can be listed: the plan of codecs
  std::vector<LossyRestore> lossy_restores = {};  // that the state has behind it, oldest first
};

struct Link;
struct Manifest;
struct ManifestBase;
struct RankResult;

class Store {
 public:
  // The driver must outlive the store. `files` is for tests that let operations fail.
  Store(std::filesystem::path directory, comm::Driver& driver, CheckpointOptions options,
        std::shared_ptr<Files> files = std::make_shared<Files>());

  // On success step-N exists, durably, in place of any earlier step-N, and only the newest `keep` remain (0: all) and what they are coded
  // against. Memory: beside the state, one copy of what this rank writes, coded. When any rank fails (disk full), every rank gets the same
  // CheckpointError, nothing named step-* is new, and the temporary files are removed: training may go on. `facts` are taken from rank 0;
  // numbers and the list of replicated tensors must agree on all ranks.
  void save(int64_t step, const State& state, const RunFacts& facts);

  // The newest committed step whose files verify, agreed by all ranks; a damaged one is skipped with a warning that names the defect.
  // nullopt: there is no checkpoint at all. CheckpointError when there are some but none is whole, and when the newest whole one was
  // written by a newer format version.
  std::optional<int64_t> newest_good();

  // Reads, validates and decodes everything first (names, shapes, dtypes: CheckpointError lists up to ten mismatches), then fills
  // state.tensors' memory and state.numbers. After an error neither has changed. Memory: beside the state, one copy of it.
  //
  // Another number of ranks may have saved it: then tensors are regrouped (state.h), and lines for people say what became of which; else
  // there are none.
  std::vector<std::string> load(int64_t step, State& state);
  int world(int64_t step) const;  // ranks that saved it. Not collective

  // Not collective: reads this host's view of the manifest.
  RunFacts facts(int64_t step) const;
  // What a state loaded from it has behind it, as later checkpoints are to say. Not collective.
  std::vector<LossyRestore> lossy_restores_of_load(int64_t step) const;

 private:
  std::filesystem::path path_of(int64_t step) const;
  uint64_t agreed_estimate(int64_t step, const State& state);
  std::optional<ManifestBase> agreed_base(int64_t step);
  std::string prepare(int64_t step, uint64_t total_bytes, const std::string& id);
  std::string commit(int64_t step, const std::string& temporary, Manifest& manifest, const std::string& id);
  std::optional<int64_t> next_candidate(std::optional<int64_t> below);
  std::string agreed_defect(int64_t step);
  using Agree = std::function<std::vector<RankResult>(const char* what, const std::function<std::string()>& work)>;
  std::vector<std::string> load_regrouped(std::vector<Link> chain, State& state, const Agree& agree);

  std::filesystem::path directory_;
  comm::Driver& driver_;
  CheckpointOptions options_;
  std::shared_ptr<Files> files_;
  std::set<int64_t> damaged_;  // steps that newest_good() had to skip, until they are saved again
  mutable Worker disk_;        // what works on files, while ranks tell each other that they do
};

// For `thinwire ckpt`: no run, no ranks.
struct Listing {
  int64_t step = 0;
  std::filesystem::path path;
  uint64_t bytes = 0;
  int world = 0;  // 0: its manifest cannot be read, and nothing else is known of it; `defects` say why
  std::string created = {};
  std::optional<int64_t> base = {};  // step of the checkpoint that this one is coded against
  std::string lossy = {};            // how it keeps some state less than exactly: lossy_restores' word for it; empty: nothing is lost
  std::vector<LossyRestore> lossy_restores = {};  // what its state had gone through before it was saved
  std::vector<std::string> defects = {};          // of glance()
};
// Whatever is named step-N, by step; one of a newer version is left out with a warning. A directory that does not exist has none.
std::vector<Listing> list(const std::filesystem::path& directory);
// What is in it, for people. CheckpointError when its manifest cannot be read.
std::string inspect(const std::filesystem::path& step_directory);
// Re-reads every byte and decodes every tensor. Empty when all is accounted for; else one line per defect.
std::vector<std::string> verify(const std::filesystem::path& step_directory);
// What verify() finds without reading more than manifests and headers: files that are gone, cut short or unreadable, its own and those of
// the checkpoints that it is coded against, and bases that are gone.
std::vector<std::string> glance(const std::filesystem::path& step_directory);
// Files in it that its manifest does not name, sorted: no reader looks at them. CheckpointError when the manifest cannot be read.
std::vector<std::string> foreign_files(const std::filesystem::path& step_directory);

struct Difference {
  bool are_equal = true;  // in numbers and in every bit of the tensors; how these are stored does not count
  std::string text;       // a line for each number and tensor that differs, and a summary
};
// Tensors are compared within files of the same name. CheckpointError when one is damaged.
// `is_beside` names tensors that no later step depends on, such as counters: where they differ it is told, and makes no difference.
Difference diff(const std::filesystem::path& a, const std::filesystem::path& b,
                const std::function<bool(std::string_view name)>& is_beside = {});

}  // namespace thinwire::checkpoint

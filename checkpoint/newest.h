// Which checkpoint is meant where a run is named: the newest that is whole, without ranks and without a run (else: Store::newest_good).
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::checkpoint {

enum class Needs : unsigned char { model, everything };  // of a checkpoint: the file that all ranks share, or all files; of its bases too

// Empty when what is needed of it has the lengths and hashes that the manifests say, else what is wrong. Reads it all. CheckpointError for
// one of a newer version.
std::string defect_of(const std::filesystem::path& step_directory, Needs needs);

struct Newest {
  std::optional<std::filesystem::path> path;  // none: there is no checkpoint, or none is whole
  std::vector<std::string> defects;           // of those that are newer, each behind its name
};
// In a directory `checkpoints`. CheckpointError when the newest that is not damaged is of a newer version.
Newest newest_whole(const std::filesystem::path& directory, Needs needs);

// The newest checkpoint of a run that is whole, with a warning for each newer one; or the one that is named itself, unseen.
// CheckpointError when there is none, saying what was looked for and what is there; `or_else`: what the caller has looked for besides.
//   path: a run directory, its folder `checkpoints`, or a checkpoint step-N in it
std::filesystem::path find_checkpoint(const std::filesystem::path& path, Needs needs, std::string_view or_else = {});

}  // namespace thinwire::checkpoint

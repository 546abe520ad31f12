// Which file holds which tensor, and the way between a tensor's memory and a file's bytes.
//
// model.safetensors holds the replicated tensors, rank-NNNNN.safetensors the per_rank ones of that rank, where there are any.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/state.h"

namespace thinwire::checkpoint {

// Upper bound of what write_shards puts on disk, for the look at the free space.
uint64_t estimated_bytes(int rank, const State& state);

// This rank's files in `directory`: none when it has no per_rank tensors and is not rank 0.
std::vector<ManifestFile> write_shards(Files& files, const std::filesystem::path& directory, int rank, int64_t step, const State& state);

// What the files of all ranks hold together, from their headers.
std::vector<ManifestTensor> tensors_in(const std::filesystem::path& directory, const std::vector<ManifestFile>& files);

// One rank's part of a checkpoint in memory: sizes, hashes and headers are checked. Construction throws CheckpointError.
class SavedShards {
 public:
  SavedShards(const std::filesystem::path& directory, const Manifest& manifest, int rank);

  // Empty when restore() may be called: else one line per difference between what was saved and what the run wants.
  std::vector<std::string> mismatches(const State& state) const;
  void restore(State& state) const;

 private:
  // The file that has it, whatever scope it was saved with; null when neither does.
  const SafetensorsFile* file_with(const std::string& name) const;
  std::map<std::string, int64_t> numbers_;
  SafetensorsFile model_;
  std::optional<SafetensorsFile> own_;
};

}  // namespace thinwire::checkpoint

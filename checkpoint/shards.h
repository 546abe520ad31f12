// Which file holds which tensor, and the way between a tensor's memory and a file's bytes.
//
// model.safetensors holds the replicated tensors, rank-NNNNN.safetensors the per_rank ones of that rank, where there are any.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/coding.h"
#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/state.h"

namespace thinwire::checkpoint {

// Upper bound of what write_shards puts on disk, for the look at the free space.
uint64_t estimated_bytes(int rank, const State& state);

// This rank's files in `directory`: none when it has no per_rank tensors and is not rank 0. The codings of a file's tensors are in memory
// at once.
std::vector<ManifestFile> write_shards(Files& files, const std::filesystem::path& directory, int rank, int64_t step, const State& state,
                                       const CheckpointOptions& options);

// What the files of all ranks hold together, from their headers.
std::vector<ManifestTensor> tensors_in(const std::filesystem::path& directory, const std::vector<ManifestFile>& files);

// One rank's part of a checkpoint: sizes, hashes and headers are checked. Construction throws CheckpointError.
class SavedShards {
 public:
  SavedShards(const std::filesystem::path& directory, const Manifest& manifest, int rank);

  // Empty when read() may be called: else one line per difference between what was saved and what the run wants.
  std::vector<std::string> mismatches(const State& state) const;
  // Decodes all that `state` names into memory of its own. CheckpointError when something is damaged after all.
  void read(const State& state, int threads);
  void restore(State& state) const;  // what was read

 private:
  struct Shard {
    SafetensorsFile file;
    std::map<std::string, StoredTensor> tensors;
    Shard(const std::filesystem::path& directory, const ManifestFile& listed);
  };
  // The file that has it, whatever scope it was saved with; null when neither does.
  const Shard* shard_with(const std::string& name) const;

  std::map<std::string, int64_t> numbers_;
  Shard model_;
  std::optional<Shard> own_;
  std::vector<std::vector<std::byte>> contents_;  // of the state's tensors, once read
};

}  // namespace thinwire::checkpoint

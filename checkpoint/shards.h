// Which file holds which tensor, and how a tensor's memory becomes a file's bytes.
//
// model.safetensors holds the replicated tensors, rank-NNNNN.safetensors the per_rank ones of that rank, where there are any.
#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "checkpoint/chain.h"
#include "checkpoint/state.h"

namespace thinwire::checkpoint {

// Upper bound of what write_shards puts on disk, for the look at the free space.
uint64_t estimated_bytes(int rank, const State& state);

// This rank's files in `directory`: none when it has no per_rank tensors and is not rank 0. Chunks are coded against `base`, which is
// whole, where that pays. The codings of a file's tensors are in memory at once.
std::vector<ManifestFile> write_shards(Files& files, const std::filesystem::path& directory, int rank, int64_t step, const State& state,
                                       const CheckpointOptions& options, const std::optional<Chain>& base);

// What the files of all ranks hold together, from their headers.
struct Inventory {
  std::vector<ManifestTensor> tensors;
  bool needs_base = false;
};
Inventory inventory(const std::filesystem::path& directory, const std::vector<ManifestFile>& files);

// Writes manifest.json and COMPLETE into a directory whose files the manifest lists, and syncs it. The manifest's list of tensors is taken
// from the files; its base goes where none of them needs it.
void seal(Files& files, const std::filesystem::path& directory, Manifest& manifest);

}  // namespace thinwire::checkpoint

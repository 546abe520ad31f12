// manifest.json: what a checkpoint is and which bytes belong to it. COMPLETE beside it holds the manifest's hash, and the manifest the hash
// of every other file, so that one look at COMPLETE vouches for all of them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/extreme/tensor.h"
#include "checkpoint/files.h"
#include "checkpoint/near/blocks.h"

namespace thinwire::checkpoint {

inline constexpr int64_t kManifestVersion = 5;  // docs/formats/checkpoint.md; never renumbered

struct ManifestFile {
  std::string name;
  FileSummary summary;
};

struct ManifestTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;  // of the whole tensor
  Scope scope = Scope::replicated;
  std::vector<std::string> files;             // per_rank: those of all ranks that have it in this shape
  uint64_t stored_bytes = 0;                  // in all of them
  std::optional<near::Form> form = {};        // of what is kept within a tolerance
  std::optional<extreme::Form> centres = {};  // of what is kept as centres
  bool is_lossy() const { return form || centres; }
};

// The checkpoint that some tensors are coded against: of that step, and with exactly this manifest.
struct ManifestBase {
  int64_t step = 0;
  uint64_t manifest_hash = 0;  // XXH3-64
};

struct Manifest {
  uint64_t hash = 0;  // of manifest.json, once read
  int64_t step = 0;
  int world = 0;
  std::string created;  // 2026-01-31T12:00:00Z
  RunFacts facts;
  std::map<std::string, int64_t> numbers;
  std::optional<ManifestBase> base;
  std::vector<ManifestFile> files;
  std::vector<ManifestTensor> tensors;
  bool is_lossy() const;          // some tensor does not keep every bit
  std::string lossy_how() const;  // the mode that it was saved in, for lossy_restores: "near_exact" | "extreme"
};

// Written by a newer Thinwire: nothing is wrong with it, but this program cannot read it.
struct NewerVersion : CheckpointError {
  using CheckpointError::CheckpointError;
};

std::string to_json(const Manifest& manifest);
// CheckpointError that begins with `source`.
Manifest parse_manifest(std::string_view json, const std::string& source);

// Of a committed directory: COMPLETE first, then the manifest it vouches for. CheckpointError names the defect.
Manifest read_manifest(const std::filesystem::path& step_directory);
std::string complete_text(uint64_t manifest_hash);

// A listed file that has the length that the manifest says; nothing of it is read. CheckpointError names it and both lengths.
InputFile open_sized(const ManifestFile& file, const std::filesystem::path& step_directory);
// The same, and reads every byte. CheckpointError names it and what differs, size or hash.
InputFile open_checked(const ManifestFile& file, const std::filesystem::path& step_directory);

}  // namespace thinwire::checkpoint

// Tensors of one checkpoint, read without ranks and without a run: for generating, scoring and exporting.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/chain.h"

namespace thinwire::checkpoint {

class SavedModel {
 public:
  // Every byte of the file that all ranks share, and of its bases, is checked now, those of other files when they are read.
  // CheckpointError.
  explicit SavedModel(const std::filesystem::path& step_directory);

  int64_t step() const { return manifest().step; }
  const RunFacts& facts() const { return manifest().facts; }
  // Saved by each rank on its own, as replicas that differ between two exchanges are: read() then gives those of rank 0.
  bool is_per_rank(const std::string& name) const;
  struct Shape {
    DType dtype;
    std::vector<int64_t> shape;
  };
  std::map<std::string, Shape> tensors(const std::string& prefix) const;  // whose names begin with it
  std::vector<std::byte> read(const std::string& name);                   // decoded; CheckpointError when damaged or absent

 private:
  const Manifest& manifest() const { return files_.chain().front().manifest; }
  const ManifestTensor& entry(const std::string& name) const;
  ChainFiles files_;
};

}  // namespace thinwire::checkpoint

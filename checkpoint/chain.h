// A checkpoint, the one that it is coded against (its base), that one's base, and so on.
//
// A base is known by its step and by the hash of its manifest, so that no other checkpoint of that step is taken for it. It has the name
// step-N; or, when that step was saved again, .base-step-N-<id>; or, when that save died, .old-step-N-<id>.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "checkpoint/manifest.h"
#include "checkpoint/tensor_reader.h"

namespace thinwire::checkpoint {

// How many checkpoints one may need beside itself. Each is one more that must stay, be whole, and be decoded, for all that are coded
// against it. Exactly, the fifth save in full costs little of what four differences save (docs/decisions/008-bases.md); in mode extreme it
// costs what a dozen differences do (docs/decisions/016-extreme.md).
inline constexpr size_t kMostExactBases = 4, kMostBases = 8;

struct Link {
  std::filesystem::path directory;
  Manifest manifest;
};
using Chain = std::vector<Link>;  // the checkpoint first

// CheckpointError names the checkpoint that is needed and what is wrong with it: gone, replaced by another of its step, damaged, of another
// world, too many.
Chain read_chain(const std::filesystem::path& step_directory);

bool uses_base(const CheckpointOptions& options);
size_t most_bases(const CheckpointOptions& options);  // that a new checkpoint may have
// The checkpoint before `step`, if it is of this world and has fewer than `most_bases` bases itself. CheckpointError when it cannot be
// used.
std::optional<ManifestBase> choose_base(const std::filesystem::path& directory, int64_t step, int world, size_t most_bases);

// Names in `directory` that the checkpoints called `kept` are coded against, or their bases. What cannot be read needs nothing.
std::set<std::string> bases_of(const std::filesystem::path& directory, const std::vector<std::string>& kept);

// The files of a chain, opened when they are first asked for. One thread.
class ChainFiles {
 public:
  // Of each file when it is opened: its length and header, where the hashes of chunks will do, or all of it.
  enum class Check { headers, every_byte };
  ChainFiles(Chain chain, Check check) : chain_(std::move(chain)), check_(check), shards_(chain_.size()) {}
  const Chain& chain() const { return chain_; }

  struct Shard {
    SafetensorsFile file;
    std::map<std::string, StoredTensor> tensors;
    explicit Shard(SafetensorsFile opened) : file(std::move(opened)), tensors(stored_tensors(file)) {}
  };
  // Of the checkpoint itself (link 0) or a base; null when it has no such file. CheckpointError when it is damaged.
  const Shard* shard(const std::string& file_name, size_t link = 0);

  // All that are wanted, of the checkpoint and of its bases.
  void open(const std::function<bool(const std::string& file_name, const Manifest& manifest)>& is_wanted);

  // A tensor of a file of shard(), with what it is coded against and with. The base has it in the file of the same name, or else in
  // model.safetensors; null when it is not there. Readers refer to this. While one is in use, it is also what is given to those whose guide
  // it is.
  std::shared_ptr<const TensorReader> reader(const std::string& file_name, const std::string& name, size_t link = 0);
  // As the checkpoint's base: link 0 is what a new checkpoint is to be coded against.
  std::shared_ptr<const TensorReader> reader_as_base(const std::string& file_name, const std::string& name, size_t link = 0);

 private:
  std::shared_ptr<const TensorReader> guided_reader(const std::string& file_name, const std::string& name, size_t link, int guides);

  Chain chain_;
  Check check_;
  std::vector<std::map<std::string, std::unique_ptr<Shard>>> shards_;                                  // by link and file name
  std::map<std::tuple<size_t, std::string, std::string>, std::weak_ptr<const TensorReader>> readers_;  // by link, file and tensor
};

}  // namespace thinwire::checkpoint

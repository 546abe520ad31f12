#include "checkpoint/shards.h"

#include <algorithm>
#include <tuple>

#include "checkpoint/encoding.h"
#include "checkpoint/extreme/tensor.h"
#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesPerEntry = 1024;  // a tensor in a header, in its metadata and in the manifest, generously
constexpr uint64_t kNamesPerEntry = 4;

// What the manifest says of a tensor of a file; of several files the worst.
void note_loss(ManifestTensor& tensor, const SafetensorsFile& file, const std::string& name, const StoredTensor& stored) {
  if (is_exact(stored.coding)) return;
  if (!is_extreme(stored.coding)) return void(tensor.form = form_of(stored.coding));
  const uint64_t elems = *num_bytes(stored.dtype, stored.shape) / size_of(stored.dtype);
  std::vector<std::byte> front(static_cast<size_t>(extreme::table_bytes(elems)));  // stored_tensors() has seen that there are so many
  file.read(stored.entry, 0, front);
  const extreme::Form form = extreme::parse_table(front, stored.stored_bytes(), elems, in_quotes(name)).form;
  tensor.centres = {form.kind, std::max(form.off_by, tensor.centres ? tensor.centres->off_by : 0)};
}

bool writes(int rank, Scope scope) { return scope == Scope::per_rank || rank == 0; }

}  // namespace

uint64_t estimated_bytes(int rank, const State& state) {
  uint64_t bytes = 0;
  for (const StateTensor& tensor : state.tensors) {
    if (writes(rank, tensor.scope)) bytes += tensor.memory.size() + kNamesPerEntry * tensor.name.size() + kBytesPerEntry;
  }
  return bytes;
}

std::vector<ManifestFile> write_shards(Files& files, const fs::path& directory, int rank, int64_t step, const State& state,
                                       const CheckpointOptions& options, const std::optional<Chain>& base) {
  std::optional<ChainFiles> base_files;
  if (base) base_files.emplace(*base, ChainFiles::Check::headers);
  const auto write = [&](const std::string& name, Scope scope, std::map<std::string, std::string> metadata) -> ManifestFile {
    std::vector<const StateTensor*> tensors;
    for (const StateTensor& tensor : state.tensors) {
      if (tensor.scope == scope) tensors.push_back(&tensor);
    }
    metadata.insert({{"format", "thinwire-checkpoint"}, {"step", std::to_string(step)}});
    Contents contents = encode(tensors, {name, options, base_files ? &*base_files : nullptr});
    contents.metadata.merge(metadata);
    return {name, write_safetensors(files, directory / name, std::move(contents.views), contents.metadata)};
  };
  std::vector<ManifestFile> written;
  if (rank == 0) written.push_back(write(kModelFileName, Scope::replicated, {}));
  const bool has_own = std::ranges::any_of(state.tensors, [](const StateTensor& tensor) { return tensor.scope == Scope::per_rank; });
  if (has_own) written.push_back(write(rank_file_name(rank), Scope::per_rank, {{"rank", std::to_string(rank)}}));
  return written;
}

Inventory inventory(const fs::path& directory, const std::vector<ManifestFile>& files) {
  using Key = std::tuple<Scope, std::string, DType, std::vector<int64_t>>;
  std::map<Key, ManifestTensor> found;
  Inventory inventory;
  for (const ManifestFile& file : files) {
    const Scope scope = file.name == kModelFileName ? Scope::replicated : Scope::per_rank;
    const SafetensorsFile opened(directory / file.name);
    for (const auto& [name, stored] : stored_tensors(opened)) {
      ManifestTensor& tensor = found[{scope, name, stored.dtype, stored.shape}];
      tensor.files.push_back(file.name);
      tensor.stored_bytes += stored.stored_bytes();
      note_loss(tensor, opened, name, stored);
      inventory.needs_base = inventory.needs_base || needs_base(stored.coding);
    }
  }
  for (auto& [key, tensor] : found) {
    std::tie(tensor.scope, tensor.name, tensor.dtype, tensor.shape) = key;
    inventory.tensors.push_back(std::move(tensor));
  }
  return inventory;
}

void seal(Files& files, const fs::path& directory, Manifest& manifest) {
  const auto [tensors, needs_base] = inventory(directory, manifest.files);
  manifest.tensors = tensors;
  if (!needs_base) manifest.base.reset();
  const std::string json = to_json(manifest);
  write_file(files, directory / kManifestName, json);
  write_file(files, directory / kCompleteName, complete_text(hash64(json)));
  files.sync_directory(directory);
}

}  // namespace thinwire::checkpoint

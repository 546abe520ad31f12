#include "checkpoint/shards.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "checkpoint/exact/parallel.h"
#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"
#include "checkpoint/tensor_reader.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesPerEntry = 1024;  // a tensor in a header, in its metadata and in the manifest, generously
constexpr uint64_t kNamesPerEntry = 4;

bool writes(int rank, Scope scope) { return scope == Scope::per_rank || rank == 0; }

// Second moments are near a product of one value per row and one per column; a kernel's rows are its outputs.
uint64_t row_elems(const std::vector<int64_t>& shape) {
  uint64_t elems = shape.size() < 2 ? 0 : 1;
  for (size_t i = 1; i < shape.size(); ++i) elems *= static_cast<uint64_t>(shape[i]);
  return elems;
}

// What a file gets of some tensors. The views refer to `codings` and to the tensors.
struct Contents {
  std::vector<std::vector<std::byte>> codings;
  std::vector<TensorView> views;
  std::map<std::string, std::string> metadata;
};

// A tensor that coding does not make smaller, with what has to be said of it, stays as it is.
Contents contents_of(const std::vector<const StateTensor*>& tensors, const CheckpointOptions& options) {
  std::vector<exact::Tensor> to_code;
  if (options.mode == "exact") {
    for (const StateTensor* tensor : tensors) to_code.push_back({tensor->dtype, row_elems(tensor->shape), tensor->memory, {}});
  }
  std::vector<exact::Parts> coded = exact::encode(to_code, static_cast<int>(options.threads));
  Contents contents;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StateTensor& tensor = *tensors[i];
    const auto said = coding_metadata(tensor.name, Coding::exact, tensor.dtype, tensor.shape);
    if (i < coded.size() && exact::num_bytes(coded[i]) + said.first.size() + said.second.size() < tensor.memory.size()) {
      contents.codings.push_back(exact::joined(std::exchange(coded[i], {})));
      const ConstBytes bytes = contents.codings.back();
      contents.views.push_back({tensor.name, DType::u8, {static_cast<int64_t>(bytes.size())}, bytes});
      contents.metadata.insert(said);
    } else {
      contents.views.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.memory});
    }
  }
  return contents;
}

FileSummary write_shard(Files& files, const fs::path& path, const std::vector<const StateTensor*>& tensors,
                        const std::map<std::string, std::string>& metadata, const CheckpointOptions& options) {
  Contents contents = contents_of(tensors, options);
  contents.metadata.insert(metadata.begin(), metadata.end());
  return write_safetensors(files, path, std::move(contents.views), contents.metadata);
}

std::string describe_tensor(DType dtype, const std::vector<int64_t>& shape) {
  return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

const ManifestFile* find(const Manifest& manifest, const std::string& name) {
  const auto found = std::find_if(manifest.files.begin(), manifest.files.end(), [&](const auto& file) { return file.name == name; });
  return found == manifest.files.end() ? nullptr : &*found;
}

}  // namespace

uint64_t estimated_bytes(int rank, const State& state) {
  uint64_t bytes = 0;
  for (const StateTensor& tensor : state.tensors) {
    if (writes(rank, tensor.scope)) bytes += tensor.memory.size() + kNamesPerEntry * tensor.name.size() + kBytesPerEntry;
  }
  return bytes;
}

std::vector<ManifestFile> write_shards(Files& files, const fs::path& directory, int rank, int64_t step, const State& state,
                                       const CheckpointOptions& options) {
  std::vector<const StateTensor*> model, own;
  for (const StateTensor& tensor : state.tensors) {
    if (writes(rank, tensor.scope)) (tensor.scope == Scope::replicated ? model : own).push_back(&tensor);
  }
  std::map<std::string, std::string> metadata = {{"format", "thinwire-checkpoint"}, {"step", std::to_string(step)}};
  std::vector<ManifestFile> written;
  if (rank == 0) written.push_back({kModelFileName, write_shard(files, directory / kModelFileName, model, metadata, options)});
  if (own.empty()) return written;
  metadata["rank"] = std::to_string(rank);
  const std::string name = rank_file_name(rank);
  written.push_back({name, write_shard(files, directory / name, own, metadata, options)});
  return written;
}

std::vector<ManifestTensor> tensors_in(const fs::path& directory, const std::vector<ManifestFile>& files) {
  using Key = std::tuple<Scope, std::string, DType, std::vector<int64_t>>;
  std::map<Key, ManifestTensor> found;
  for (const ManifestFile& file : files) {
    const Scope scope = file.name == kModelFileName ? Scope::replicated : Scope::per_rank;
    for (const auto& [name, stored] : stored_tensors(SafetensorsFile(directory / file.name))) {
      ManifestTensor& tensor = found[{scope, name, stored.dtype, stored.shape}];
      tensor.files.push_back(file.name);
      tensor.stored_bytes += stored.stored_bytes();
    }
  }
  std::vector<ManifestTensor> tensors;
  for (auto& [key, tensor] : found) {
    std::tie(tensor.scope, tensor.name, tensor.dtype, tensor.shape) = key;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

SavedShards::Shard::Shard(const fs::path& directory, const ManifestFile& listed)
    : file(open_checked(listed, directory)), tensors(stored_tensors(file)) {}

SavedShards::SavedShards(const fs::path& directory, const Manifest& manifest, int rank)
    : numbers_(manifest.numbers), model_(directory, *find(manifest, kModelFileName)) {
  if (const ManifestFile* own = find(manifest, rank_file_name(rank))) own_.emplace(directory, *own);
}

const SavedShards::Shard* SavedShards::shard_with(const std::string& name) const {
  if (own_ && own_->tensors.contains(name)) return &*own_;
  return model_.tensors.contains(name) ? &model_ : nullptr;
}

std::vector<std::string> SavedShards::mismatches(const State& state) const {
  std::vector<std::string> lines;
  std::set<std::string> wanted;
  for (const StateTensor& tensor : state.tensors) {
    wanted.insert(tensor.name);
    const Shard* shard = shard_with(tensor.name);
    if (!shard) {
      lines.push_back(fmt::format("{} {}: missing in the checkpoint", tensor.name, describe_tensor(tensor.dtype, tensor.shape)));
      continue;
    }
    const StoredTensor& saved = shard->tensors.at(tensor.name);
    if (saved.dtype != tensor.dtype || saved.shape != tensor.shape) {
      lines.push_back(fmt::format("{}: {} in the checkpoint, {} in this run", tensor.name, describe_tensor(saved.dtype, saved.shape),
                                  describe_tensor(tensor.dtype, tensor.shape)));
    }
  }
  for (const Shard* shard : {static_cast<const Shard*>(&model_), own_ ? &*own_ : nullptr}) {
    if (!shard) continue;
    for (const auto& [name, saved] : shard->tensors) {
      if (wanted.contains(name)) continue;
      lines.push_back(
          fmt::format("{} {}: unexpected, this run has no such state", in_quotes(name), describe_tensor(saved.dtype, saved.shape)));
    }
  }
  for (const auto& [name, value] : state.numbers) {
    if (!numbers_.contains(name)) lines.push_back(fmt::format("number {}: missing in the checkpoint", name));
  }
  return lines;
}

void SavedShards::read(const State& state, int threads) {
  struct Piece {
    size_t tensor, chunk;
  };
  std::vector<TensorReader> readers;
  std::vector<Piece> pieces;
  contents_.clear();
  for (const StateTensor& tensor : state.tensors) {
    const Shard& shard = *shard_with(tensor.name);
    readers.emplace_back(shard.file, tensor.name, shard.tensors.at(tensor.name));
    check(readers.back().num_bytes() == tensor.memory.size(), "shapes were compared before anything is read");
    for (size_t chunk = 0; chunk < readers.back().num_chunks(); ++chunk) pieces.push_back({contents_.size(), chunk});
    contents_.emplace_back(tensor.memory.size());
  }
  exact::in_parallel(pieces.size(), threads, [&](size_t i, exact::ChunkCoder& coder) {
    const auto [t, chunk] = pieces[i];
    const TensorReader& reader = readers[t];
    reader.read(chunk, coder, MutableBytes(contents_[t]).subspan(reader.begin_of(chunk), reader.bytes_of(chunk)));
  });
}

void SavedShards::restore(State& state) const {
  check(contents_.size() == state.tensors.size(), "what is restored was read for the same state");
  for (size_t i = 0; i < contents_.size(); ++i) {
    if (!contents_[i].empty()) std::memcpy(state.tensors[i].memory.data(), contents_[i].data(), contents_[i].size());
  }
  state.numbers = numbers_;
}

}  // namespace thinwire::checkpoint

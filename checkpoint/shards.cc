#include "checkpoint/shards.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesPerEntry = 512;  // a tensor in a header and in the manifest, generously

bool writes(int rank, Scope scope) { return scope == Scope::per_rank || rank == 0; }

// The one place where a tensor's memory becomes a file's bytes, with decode() as its inverse. Both copy: state is saved as it is.
TensorView encode(const StateTensor& tensor) { return {tensor.name, tensor.dtype, tensor.shape, tensor.memory}; }

void decode(ConstBytes saved, StateTensor& tensor) {
  check(saved.size() == tensor.memory.size(), "shapes were compared before anything is restored");
  if (!saved.empty()) std::memcpy(tensor.memory.data(), saved.data(), saved.size());
}

std::string describe_tensor(DType dtype, const std::vector<int64_t>& shape) {
  return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

const ManifestFile* find(const Manifest& manifest, const std::string& name) {
  const auto found = std::find_if(manifest.files.begin(), manifest.files.end(), [&](const auto& file) { return file.name == name; });
  return found == manifest.files.end() ? nullptr : &*found;
}

SafetensorsFile read_checked(const fs::path& directory, const ManifestFile& listed) {
  SafetensorsFile file(directory / listed.name);
  check_summary(listed, file.summary(), directory);
  return file;
}

}  // namespace

uint64_t estimated_bytes(int rank, const State& state) {
  uint64_t bytes = 0;
  for (const StateTensor& tensor : state.tensors) {
    if (writes(rank, tensor.scope)) bytes += tensor.memory.size() + 2 * tensor.name.size() + kBytesPerEntry;
  }
  return bytes;
}

std::vector<ManifestFile> write_shards(Files& files, const fs::path& directory, int rank, int64_t step, const State& state) {
  std::vector<TensorView> model, own;
  for (const StateTensor& tensor : state.tensors) {
    if (writes(rank, tensor.scope)) (tensor.scope == Scope::replicated ? model : own).push_back(encode(tensor));
  }
  std::map<std::string, std::string> metadata = {{"format", "thinwire-checkpoint"}, {"step", std::to_string(step)}};
  std::vector<ManifestFile> written;
  if (rank == 0) written.push_back({kModelFileName, write_safetensors(files, directory / kModelFileName, model, metadata)});
  if (own.empty()) return written;
  metadata["rank"] = std::to_string(rank);
  const std::string name = rank_file_name(rank);
  written.push_back({name, write_safetensors(files, directory / name, own, metadata)});
  return written;
}

std::vector<ManifestTensor> tensors_in(const fs::path& directory, const std::vector<ManifestFile>& files) {
  using Key = std::tuple<Scope, std::string, DType, std::vector<int64_t>>;
  std::map<Key, std::vector<std::string>> found;
  for (const ManifestFile& file : files) {
    const Scope scope = file.name == kModelFileName ? Scope::replicated : Scope::per_rank;
    for (const auto& [name, entry] : read_safetensors_header(directory / file.name).tensors) {
      found[{scope, name, entry.dtype, entry.shape}].push_back(file.name);
    }
  }
  std::vector<ManifestTensor> tensors;
  for (auto& [key, names] : found) {
    tensors.push_back({std::get<std::string>(key), std::get<DType>(key), std::get<3>(key), std::get<Scope>(key), std::move(names)});
  }
  return tensors;
}

SavedShards::SavedShards(const fs::path& directory, const Manifest& manifest, int rank)
    : numbers_(manifest.numbers), model_(read_checked(directory, *find(manifest, kModelFileName))) {
  if (const ManifestFile* own = find(manifest, rank_file_name(rank))) own_ = read_checked(directory, *own);
}

const SafetensorsFile* SavedShards::file_with(const std::string& name) const {
  if (own_ && own_->tensors().contains(name)) return &*own_;
  return model_.tensors().contains(name) ? &model_ : nullptr;
}

std::vector<std::string> SavedShards::mismatches(const State& state) const {
  std::vector<std::string> lines;
  std::set<std::string> wanted;
  for (const StateTensor& tensor : state.tensors) {
    wanted.insert(tensor.name);
    const SafetensorsFile* file = file_with(tensor.name);
    if (!file) {
      lines.push_back(fmt::format("{} {}: missing in the checkpoint", tensor.name, describe_tensor(tensor.dtype, tensor.shape)));
      continue;
    }
    const TensorEntry& saved = file->tensors().at(tensor.name);
    if (saved.dtype != tensor.dtype || saved.shape != tensor.shape) {
      lines.push_back(fmt::format("{}: {} in the checkpoint, {} in this run", tensor.name, describe_tensor(saved.dtype, saved.shape),
                                  describe_tensor(tensor.dtype, tensor.shape)));
    }
  }
  for (const SafetensorsFile* file : {static_cast<const SafetensorsFile*>(&model_), own_ ? &*own_ : nullptr}) {
    if (!file) continue;
    for (const auto& [name, entry] : file->tensors()) {
      if (wanted.contains(name)) continue;
      lines.push_back(
          fmt::format("{} {}: unexpected, this run has no such state", in_quotes(name), describe_tensor(entry.dtype, entry.shape)));
    }
  }
  for (const auto& [name, value] : state.numbers) {
    if (!numbers_.contains(name)) lines.push_back(fmt::format("number {}: missing in the checkpoint", name));
  }
  return lines;
}

void SavedShards::restore(State& state) const {
  for (StateTensor& tensor : state.tensors) decode(file_with(tensor.name)->data(tensor.name), tensor);
  state.numbers = numbers_;
}

}  // namespace thinwire::checkpoint

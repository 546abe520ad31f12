#include "checkpoint/shards.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "checkpoint/layout.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesPerEntry = 1024;  // a tensor in a header, in its metadata and in the manifest, generously
constexpr uint64_t kNamesPerEntry = 4;

// What a difference must save of a chunk to be worth a second checkpoint that must stay, and twice the time to load
// (docs/decisions/008-bases.md).
constexpr double kLeastGain = 0.05;

bool writes(int rank, Scope scope) { return scope == Scope::per_rank || rank == 0; }

TensorView as_it_is(const StateTensor& tensor) { return {tensor.name, tensor.dtype, tensor.shape, tensor.memory}; }

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

// How tensors of one file are coded.
struct Way {
  std::string file_name;
  int threads = 1;
  ChainFiles* base = nullptr;  // what they may be coded against
};

// What the base has under that name, if it has the same form.
exact::Earlier earlier_of(const StateTensor& tensor, const Way& way) {
  const auto reader = way.base == nullptr ? nullptr : way.base->reader_as_base(way.file_name, tensor.name);
  if (!reader || reader->tensor().dtype != tensor.dtype || reader->num_bytes() != tensor.memory.size()) return {};
  return exact::Earlier([reader](size_t chunk, exact::ChunkCoder& coder, MutableBytes into) { reader->read(chunk, coder, into); });
}

std::vector<exact::Parts> code(const std::vector<const StateTensor*>& tensors, const Way& way) {
  std::vector<exact::Tensor> to_code;
  for (const StateTensor* tensor : tensors) {
    to_code.push_back({tensor->dtype, row_elems(tensor->shape), tensor->memory, earlier_of(*tensor, way), kLeastGain});
  }
  return exact::encode(to_code, way.threads);
}

// A tensor that coding does not make smaller, with what has to be said of it, stays as it is.
Contents contents_of(const std::vector<const StateTensor*>& tensors, std::vector<exact::Parts> coded) {
  Contents contents;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StateTensor& tensor = *tensors[i];
    const exact::Parts parts = std::exchange(coded[i], {});
    const Coding coding = exact::needs_earlier(parts) ? Coding::exact_from_base : Coding::exact;
    const auto said = coding_metadata(tensor.name, coding, tensor.dtype, tensor.shape);
    if (exact::num_bytes(parts) + said.first.size() + said.second.size() >= tensor.memory.size()) {
      contents.views.push_back(as_it_is(tensor));
      continue;
    }
    contents.codings.push_back(exact::joined(parts));
    const ConstBytes bytes = contents.codings.back();
    contents.views.push_back({tensor.name, DType::u8, {static_cast<int64_t>(bytes.size())}, bytes});
    contents.metadata.insert(said);
  }
  return contents;
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
                                       const CheckpointOptions& options, const std::optional<Chain>& base) {
  std::optional<ChainFiles> base_files;
  if (base) base_files.emplace(*base, ChainFiles::Check::headers);
  const auto write = [&](const std::string& name, Scope scope, std::map<std::string, std::string> metadata) -> ManifestFile {
    std::vector<const StateTensor*> tensors;
    for (const StateTensor& tensor : state.tensors) {
      if (tensor.scope == scope) tensors.push_back(&tensor);
    }
    metadata.insert({{"format", "thinwire-checkpoint"}, {"step", std::to_string(step)}});
    if (options.mode == "raw") {
      std::vector<TensorView> views;
      for (const StateTensor* tensor : tensors) views.push_back(as_it_is(*tensor));
      return {name, write_safetensors(files, directory / name, std::move(views), metadata)};
    }
    Contents contents = contents_of(tensors, code(tensors, {name, static_cast<int>(options.threads), base_files ? &*base_files : nullptr}));
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
    for (const auto& [name, stored] : stored_tensors(SafetensorsFile(directory / file.name))) {
      ManifestTensor& tensor = found[{scope, name, stored.dtype, stored.shape}];
      tensor.files.push_back(file.name);
      tensor.stored_bytes += stored.stored_bytes();
      inventory.needs_base = inventory.needs_base || stored.coding == Coding::exact_from_base;
    }
  }
  for (auto& [key, tensor] : found) {
    std::tie(tensor.scope, tensor.name, tensor.dtype, tensor.shape) = key;
    inventory.tensors.push_back(std::move(tensor));
  }
  return inventory;
}

}  // namespace thinwire::checkpoint

#include "checkpoint/shards.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "checkpoint/exact/parallel.h"
#include "checkpoint/layout.h"
#include "checkpoint/near/tensor.h"

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

// A tensor on its way: coded without loss, or levels and scales that are coded without loss in its place.
struct Coded {
  std::optional<near::Form> form;
  near::Blocks blocks;  // where there is a form
  exact::Parts parts, scales;
};

std::optional<near::Form> form_of(const StateTensor& tensor, const CheckpointOptions& options) {
  if (options.mode != "near_exact" || tensor.dtype != DType::f32) return std::nullopt;
  const int bits = options.moments == "4" ? 4 : 8;
  switch (tensor.tolerance) {
    case Tolerance::none: return std::nullopt;
    case Tolerance::moment: return near::Form{near::Form::Of::values, bits};
    case Tolerance::second_moment: return near::Form{near::Form::Of::roots, bits};
    case Tolerance::residual: return near::Form{near::Form::Of::values, 8};
  }
  return std::nullopt;
}

std::span<const float> floats_of(const StateTensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.memory.data()), tensor.memory.size() / sizeof(float)};
}

// What cannot be had in few bits (a number that is not finite) is kept exactly.
void quantize(Coded& coded, const StateTensor& tensor, const CheckpointOptions& options) {
  coded.form = form_of(tensor, options);
  if (!coded.form) return;
  if (auto blocks = near::quantize(*coded.form, floats_of(tensor))) {
    coded.blocks = *std::move(blocks);
  } else {
    coded.form.reset();
  }
}

std::vector<Coded> code(const std::vector<const StateTensor*>& tensors, const Way& way, const CheckpointOptions& options) {
  std::vector<Coded> coded(tensors.size());
  exact::in_parallel(tensors.size(), way.threads, [&](size_t i, exact::ChunkCoder&) { quantize(coded[i], *tensors[i], options); });
  std::vector<exact::Tensor> to_code;
  std::vector<exact::Parts*> into;
  for (size_t i = 0; i < tensors.size(); ++i) {
    into.push_back(&coded[i].parts);
    if (coded[i].form) {
      to_code.push_back({DType::u8, 0, std::as_bytes(std::span(coded[i].blocks.levels))});
      to_code.push_back({DType::f32, 0, std::as_bytes(std::span(coded[i].blocks.scales))});
      into.push_back(&coded[i].scales);
    } else {
      to_code.push_back({tensors[i]->dtype, row_elems(tensors[i]->shape), tensors[i]->memory, earlier_of(*tensors[i], way), kLeastGain});
    }
  }
  std::vector<exact::Parts> parts = exact::encode(to_code, way.threads);
  for (size_t i = 0; i < parts.size(); ++i) *into[i] = std::move(parts[i]);
  return coded;
}

Coding coding_of(const Coded& coded) {
  if (coded.form) return checkpoint::coding_of(*coded.form);
  return exact::needs_earlier(coded.parts) ? Coding::exact_from_base : Coding::exact;
}

// A tensor that coding does not make smaller, with what has to be said of it, stays as it is.
Contents contents_of(const std::vector<const StateTensor*>& tensors, std::vector<Coded> all) {
  Contents contents;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StateTensor& tensor = *tensors[i];
    const Coded coded = std::exchange(all[i], {});
    const auto said = coding_metadata(tensor.name, coding_of(coded), tensor.dtype, tensor.shape);
    const size_t coded_bytes =
        exact::num_bytes(coded.parts) + (coded.form ? near::kHeaderBytes + exact::num_bytes(coded.scales) : size_t{0});
    if (coded_bytes + said.first.size() + said.second.size() >= tensor.memory.size()) {
      contents.views.push_back(as_it_is(tensor));
      continue;
    }
    contents.codings.push_back(coded.form ? near::joined(*coded.form, floats_of(tensor).size(), coded.parts, coded.scales)
                                          : exact::joined(coded.parts));
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
    const Way way{name, static_cast<int>(options.threads), base_files ? &*base_files : nullptr};
    Contents contents = contents_of(tensors, code(tensors, way, options));
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
      if (!is_exact(stored.coding)) tensor.form = form_of(stored.coding);
      inventory.needs_base = inventory.needs_base || stored.coding == Coding::exact_from_base;
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

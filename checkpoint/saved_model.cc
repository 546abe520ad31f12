#include "checkpoint/saved_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {

namespace fs = std::filesystem;

SavedModel::SavedModel(const fs::path& step_directory) : files_(read_chain(step_directory), ChainFiles::Check::every_byte) {
  files_.shard(kModelFileName);
}

const ManifestTensor& SavedModel::entry(const std::string& name) const {
  const auto& tensors = manifest().tensors;
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const ManifestTensor& tensor) { return tensor.name == name; });
  if (found != tensors.end() && !found->files.empty()) return *found;
  throw CheckpointError(fmt::format("{}: there is no tensor {}", files_.chain().front().directory.string(), in_quotes(name)));
}

bool SavedModel::is_per_rank(const std::string& name) const { return entry(name).scope == Scope::per_rank; }

std::map<std::string, SavedModel::Shape> SavedModel::tensors(const std::string& prefix) const {
  std::map<std::string, Shape> found;
  for (const ManifestTensor& tensor : manifest().tensors) {
    if (tensor.name.starts_with(prefix)) found.emplace(tensor.name, Shape{tensor.dtype, tensor.shape});
  }
  return found;
}

std::vector<std::byte> SavedModel::read(const std::string& name) {
  const ManifestTensor& tensor = entry(name);
  const std::string& file = *std::min_element(tensor.files.begin(), tensor.files.end());  // of per_rank ones: rank-00000
  const ChainFiles::Shard* shard = files_.shard(file);
  if (shard == nullptr || !shard->tensors.contains(name)) {
    throw CheckpointError(fmt::format("{}: tensor {} is listed in the manifest, but not in {}", files_.chain().front().directory.string(),
                                      in_quotes(name), file));
  }
  const auto reader = files_.reader(file, name);
  std::vector<std::byte> bytes(reader->num_bytes());
  exact::ChunkCoder coder;
  for (size_t chunk = 0; chunk < reader->num_chunks(); ++chunk) {
    reader->read(chunk, coder, MutableBytes(bytes).subspan(reader->begin_of(chunk), reader->bytes_of(chunk)));
  }
  return bytes;
}

}  // namespace thinwire::checkpoint

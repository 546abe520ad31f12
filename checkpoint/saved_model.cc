#include "checkpoint/saved_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/listing.h"
#include "base/log.h"
#include "base/text.h"
#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {

namespace fs = std::filesystem;

namespace {

bool is_one(const fs::path& path) { return parse_step_name(path.filename().string()).has_value(); }

fs::path without_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

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

fs::path find_checkpoint(const fs::path& given, std::string_view or_else) {
  const fs::path path = without_slash(given);
  if (!fs::exists(path))
    throw CheckpointError(fmt::format("{}: there is no such file or directory; {}", given.string(), what_is_there(path)));
  if (is_one(path)) return path;
  const fs::path directory = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  std::vector<std::string> defects;
  for (const int64_t step : steps_in(directory)) {
    try {
      SavedModel(directory / step_name(step));
      return directory / step_name(step);
    } catch (const NewerVersion&) {
      throw;
    } catch (const CheckpointError& e) {
      log::warn("skipping checkpoint {}: {}", step_name(step), e.what());
      defects.push_back(fmt::format("\n  {}", e.what()));
    }
  }
  if (defects.empty()) {
    throw CheckpointError(fmt::format("{}: there is no checkpoint in it: a run directory has checkpoints/step-N{}{}; {}", given.string(),
                                      or_else.empty() ? "" : ", ", or_else, contents_of(directory)));
  }
  throw CheckpointError(fmt::format("no checkpoint in {} can be read:{}", directory.string(), join(defects, "")));
}

}  // namespace thinwire::checkpoint

#include "checkpoint/model_folder.h"

#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 64'000'000;

std::map<std::string, std::string> read_index(const fs::path& path) {
  const std::string source = path.string();
  const auto root = parse_strict_json(read_text(path, kMaxIndexBytes), source);
  if (!root.is_object()) throw CheckpointError(source + ": it is not a JSON object");
  std::map<std::string, std::string> files;
  for (const auto& [name, file] : member(root, "weight_map", nlohmann::json::value_t::object, source).items()) {
    const std::string text = file.is_string() ? file.get<std::string>() : "";
    if (text.empty() || text.find('/') != std::string::npos || !text.ends_with(".safetensors")) {
      throw CheckpointError(fmt::format("{}: the file of tensor {} is {}, not the name of a .safetensors file beside the index", source,
                                        in_quotes(name), in_quotes(file.dump())));
    }
    files[name] = text;
  }
  return files;
}

[[noreturn]] void no_tensors(const fs::path& folder) {
  const bool has_pickles = fs::exists(folder / "pytorch_model.bin") || fs::exists(folder / "pytorch_model.bin.index.json");
  throw CheckpointError(fmt::format("{}: holds neither {} nor {}{}", folder.string(), kSingleName, kIndexName,
                                    has_pickles ? "; pytorch_model.bin is Python's pickle, which is not read: save the model again with "
                                                  "save_pretrained(..., safe_serialization=True)"
                                                : ""));
}

std::string shard_name(size_t index, size_t count) {
  return count == 1 ? kSingleName : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

std::vector<std::vector<TensorView>> cut(const std::vector<TensorView>& tensors, uint64_t max_shard_bytes) {
  std::vector<std::vector<TensorView>> shards(1);
  uint64_t bytes = 0;
  for (const TensorView& tensor : tensors) {
    if (bytes > 0 && bytes + tensor.bytes.size() > max_shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(tensor);
    bytes += tensor.bytes.size();
  }
  return shards;
}

}  // namespace

ModelFolder::ModelFolder(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw CheckpointError(fmt::format("{}: there is no such directory", folder.string()));
  if (!fs::exists(folder / kIndexName)) {
    if (!fs::exists(folder / kSingleName)) no_tensors(folder);
    add(folder / kSingleName);
    return;
  }
  const auto index = read_index(folder / kIndexName);
  std::map<std::string, size_t> opened;
  for (const auto& [name, file] : index) {
    if (opened.emplace(file, files_.size()).second) add(folder / file);
  }
  for (const auto& [name, file] : index) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || found->second.file != opened.at(file)) {
      throw CheckpointError(
          fmt::format("{}: tensor {} should be in {}, and is {}", (folder / kIndexName).string(), in_quotes(name), file,
                      found == tensors_.end() ? "in no file" : "in " + files_[found->second.file].path().filename().string()));
    }
  }
  for (const auto& [name, place] : tensors_) {
    if (!index.contains(name)) {
      throw CheckpointError(fmt::format("{}: tensor {} of {} is not listed", (folder / kIndexName).string(), in_quotes(name),
                                        files_[place.file].path().filename().string()));
    }
  }
}

void ModelFolder::add(const fs::path& path) {
  files_.emplace_back(path);
  for (const auto& [name, entry] : files_.back().tensors()) {
    if (!tensors_.emplace(name, Place{files_.size() - 1, entry}).second) {
      throw CheckpointError(fmt::format("{}: tensor {} is in another file too", path.string(), in_quotes(name)));
    }
  }
}

std::vector<std::byte> ModelFolder::read(const std::string& name) const { return files_[tensors_.at(name).file].data(name); }

void write_model_folder(const fs::path& folder, const std::vector<TensorView>& tensors, uint64_t max_shard_bytes) {
  const auto shards = cut(tensors, max_shard_bytes);
  nlohmann::ordered_json index;
  uint64_t total_bytes = 0;
  std::map<std::string, std::string> file_of;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    write_safetensors(folder / name, shards[i], {{"format", "pt"}});
    for (const TensorView& tensor : shards[i]) {
      total_bytes += tensor.bytes.size();
      file_of[tensor.name] = name;
    }
  }
  if (shards.size() == 1) return;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = file_of;
  Files files;
  write_file(files, folder / kIndexName, index.dump(2) + "\n");
}

}  // namespace thinwire::checkpoint

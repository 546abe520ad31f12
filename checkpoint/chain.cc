#include "checkpoint/chain.h"

#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr int kMostGuides = 2;  // one after another: weight, first moment, second moment

// Directories that may hold what was once saved as that step.
std::vector<std::string> names_of_step(const fs::path& directory, int64_t step) {
  std::vector<std::string> names = {step_name(step)};
  for (const std::string& name : work_in(directory)) {
    const WorkName parsed = *parse_work_name(name);
    if ((parsed.work == Work::base || parsed.work == Work::old) && parsed.what == step_name(step)) names.push_back(name);
  }
  return names;
}

bool is_sealed_with(const fs::path& step_directory, uint64_t manifest_hash) {
  const fs::path complete = step_directory / kCompleteName;
  return fs::exists(complete) && read_text(complete, 4096) == complete_text(manifest_hash);
}

// In `directory`; CheckpointError when it is not there.
std::string find_base(const fs::path& directory, const ManifestBase& base) {
  const std::vector<std::string> names = names_of_step(directory, base.step);
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const auto& name) { return is_sealed_with(directory / name, base.manifest_hash); });
  if (found != names.end()) return *found;
  const bool replaced = fs::exists(directory / names.front());
  throw CheckpointError(
      fmt::format("{} is {}", (directory / names.front()).string(), replaced ? "another checkpoint of that step" : "gone"));
}

std::string unusable_base(const Chain& chain, const char* why) {
  const auto& [directory, manifest] = chain.front();
  return fmt::format("{} is coded against {}, which cannot be used: {}", directory.string(), step_name(manifest.base->step), why);
}

}  // namespace

Chain read_chain(const fs::path& given) {
  const fs::path step_directory = with_name(given);
  const fs::path directory = step_directory.has_parent_path() ? step_directory.parent_path() : fs::path(".");
  Chain chain;
  chain.push_back({step_directory, read_manifest(step_directory)});
  if (!chain.front().manifest.base) return chain;
  try {
    while (const std::optional<ManifestBase> base = chain.back().manifest.base) {
      if (chain.size() > kMostBases) throw CheckpointError(fmt::format("there are more than {} bases", kMostBases));
      const fs::path path = directory / find_base(directory, *base);
      chain.push_back({path, read_manifest(path)});
      const Manifest& manifest = chain.back().manifest;
      if (manifest.step != base->step) throw CheckpointError(fmt::format("{} holds step {}", path.string(), manifest.step));
      if (manifest.world != chain.front().manifest.world)
        throw CheckpointError(fmt::format("{} is of {} ranks", path.string(), manifest.world));
    }
  } catch (const NewerVersion&) {
    throw;
  } catch (const CheckpointError& e) {
    throw CheckpointError(unusable_base(chain, e.what()));
  }
  return chain;
}

bool uses_base(const CheckpointOptions& options) { return options.mode == "extreme" || (options.base != "none" && options.mode != "raw"); }

size_t most_bases(const CheckpointOptions& options) { return options.mode == "extreme" ? kMostBases : kMostExactBases; }

std::optional<ManifestBase> choose_base(const fs::path& directory, int64_t step, int world, size_t most_bases) {
  for (const int64_t before : steps_in(directory)) {
    if (before >= step || !fs::exists(directory / step_name(before) / kCompleteName)) continue;
    const Chain chain = read_chain(directory / step_name(before));
    const Manifest& manifest = chain.front().manifest;
    if (manifest.world != world || chain.size() > most_bases) return std::nullopt;
    return ManifestBase{before, manifest.hash};
  }
  return std::nullopt;
}

std::set<std::string> bases_of(const fs::path& directory, const std::vector<std::string>& kept) {
  std::set<std::string> names;
  for (const std::string& name : kept) {
    try {
      const Chain chain = read_chain(directory / name);
      for (size_t link = 1; link < chain.size(); ++link) names.insert(chain[link].directory.filename().string());
    } catch (const CheckpointError&) {
      continue;  // it cannot be loaded, whatever stays
    }
  }
  return names;
}

const ChainFiles::Shard* ChainFiles::shard(const std::string& file_name, size_t link) {
  if (const auto open = shards_[link].find(file_name); open != shards_[link].end()) return open->second.get();
  const auto& [directory, manifest] = chain_[link];
  const auto listed = std::find_if(manifest.files.begin(), manifest.files.end(), [&](const auto& file) { return file.name == file_name; });
  if (listed == manifest.files.end()) return nullptr;
  try {
    auto file = SafetensorsFile(check_ == Check::every_byte ? open_checked(*listed, directory) : open_sized(*listed, directory));
    return (shards_[link][file_name] = std::make_unique<Shard>(std::move(file))).get();
  } catch (const CheckpointError& e) {
    if (link == 0) throw;
    throw CheckpointError(unusable_base(chain_, e.what()));
  }
}

void ChainFiles::open(const std::function<bool(const std::string& file_name, const Manifest& manifest)>& is_wanted) {
  for (size_t link = 0; link < chain_.size(); ++link) {
    const Manifest& manifest = chain_[link].manifest;
    for (const ManifestFile& file : manifest.files) {
      if (is_wanted(file.name, manifest)) shard(file.name, link);
    }
  }
}

std::shared_ptr<const TensorReader> ChainFiles::reader_as_base(const std::string& file_name, const std::string& name, size_t link) {
  for (const std::string& candidate : {file_name, std::string(kModelFileName)}) {
    const Shard* one = shard(candidate, link);
    if (one != nullptr && one->tensors.contains(name)) return reader(candidate, name, link);
  }
  return nullptr;
}

std::shared_ptr<const TensorReader> ChainFiles::reader(const std::string& file_name, const std::string& name, size_t link) {
  return guided_reader(file_name, name, link, kMostGuides);
}

std::shared_ptr<const TensorReader> ChainFiles::guided_reader(const std::string& file_name, const std::string& name, size_t link,
                                                              int guides) {
  std::weak_ptr<const TensorReader>& known = readers_[{link, file_name, name}];
  if (auto reader = known.lock()) return reader;
  const Shard& own = *shard(file_name, link);
  const StoredTensor& tensor = own.tensors.at(name);
  std::shared_ptr<const TensorReader> base, guide;
  if (needs_base(tensor.coding) && link + 1 < chain_.size()) base = reader_as_base(file_name, name, link + 1);
  if (!tensor.guide.empty()) {
    if (guides == 0 || !own.tensors.contains(tensor.guide)) {
      throw CheckpointError(fmt::format("{}: tensor {}: its guide {} {}", own.file.path().string(), in_quotes(name),
                                        in_quotes(tensor.guide), guides == 0 ? "follows too many others" : "is not there"));
    }
    guide = guided_reader(file_name, tensor.guide, link, guides - 1);
  }
  auto reader = std::make_shared<const TensorReader>(own.file, name, tensor, std::move(base), std::move(guide));
  known = reader;
  return reader;
}

}  // namespace thinwire::checkpoint

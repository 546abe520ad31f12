#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/log.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

uint64_t total_bytes(const Manifest& manifest) {
  uint64_t bytes = 0;
  for (const ManifestFile& file : manifest.files) bytes += file.summary.bytes;
  return bytes;
}

const char* scope_name(Scope scope) { return scope == Scope::replicated ? "replicated" : "per rank"; }

// Runs the check; what it throws becomes a line.
template <class Check>
void collect(std::vector<std::string>& defects, Check&& check_one) {
  try {
    check_one();
  } catch (const CheckpointError& e) {
    defects.push_back(e.what());
  }
}

using Placed = std::tuple<std::string, std::string, DType, std::vector<int64_t>>;  // file, tensor, dtype, shape

std::set<Placed> listed_tensors(const Manifest& manifest) {
  std::set<Placed> placed;
  for (const ManifestTensor& tensor : manifest.tensors) {
    for (const std::string& file : tensor.files) placed.insert({file, tensor.name, tensor.dtype, tensor.shape});
  }
  return placed;
}

void compare_tensors(std::vector<std::string>& defects, const fs::path& path, const Manifest& manifest, const std::set<Placed>& present) {
  const std::set<Placed> listed = listed_tensors(manifest);
  std::vector<Placed> missing, extra;
  std::set_difference(listed.begin(), listed.end(), present.begin(), present.end(), std::back_inserter(missing));
  std::set_difference(present.begin(), present.end(), listed.begin(), listed.end(), std::back_inserter(extra));
  const auto report = [&](const Placed& one, const char* what) {
    const auto& [file, name, dtype, shape] = one;
    defects.push_back(
        fmt::format("{}: tensor {} {} [{}] {}", (path / file).string(), in_quotes(name), dtype_name(dtype), fmt::join(shape, ", "), what));
  };
  for (const Placed& one : missing) report(one, "is listed in the manifest, but not in the file");
  for (const Placed& one : extra) report(one, "is in the file, but not listed in the manifest");
}

void find_foreign_files(std::vector<std::string>& defects, const fs::path& path, const Manifest& manifest) {
  std::set<std::string> known = {kManifestName, kCompleteName};
  for (const ManifestFile& file : manifest.files) known.insert(file.name);
  for (const auto& entry : fs::directory_iterator(path)) {
    if (!known.contains(entry.path().filename().string())) defects.push_back(entry.path().string() + " does not belong to the checkpoint");
  }
}

}  // namespace

std::vector<Listing> list(const fs::path& directory) {
  std::vector<Listing> listings;
  std::vector<int64_t> steps = steps_in(directory);
  std::reverse(steps.begin(), steps.end());
  for (const int64_t step : steps) {
    const fs::path path = directory / step_name(step);
    try {
      const Manifest manifest = read_manifest(path);
      listings.push_back({step, path, total_bytes(manifest), manifest.world, manifest.created});
    } catch (const CheckpointError& e) {
      log::warn("not listed: {}", e.what());
    }
  }
  return listings;
}

std::string inspect(const fs::path& step_directory) {
  const Manifest manifest = read_manifest(step_directory);
  std::string text = fmt::format("{} of run {}, saved {} by Thinwire {}\n", step_name(manifest.step), in_quotes(manifest.facts.run_name),
                                 manifest.created, manifest.facts.version);
  text += fmt::format("ranks {}   size {}   config {}\n", manifest.world, human_bytes(static_cast<double>(total_bytes(manifest))),
                      manifest.facts.config_hash);
  text += "\nfiles\n";
  for (const ManifestFile& file : manifest.files) {
    text += fmt::format("  {:<24} {:>16} bytes  xxh3 {}\n", file.name, with_thousands(static_cast<int64_t>(file.summary.bytes)),
                        to_hex(file.summary.hash));
  }
  text += "\nnumbers\n";
  for (const auto& [name, value] : manifest.numbers) text += fmt::format("  {} = {}\n", name, value);
  text += "\ntensors\n";
  for (const ManifestTensor& tensor : manifest.tensors) {
    text += fmt::format("  {:<10} {} {} [{}]\n", scope_name(tensor.scope), tensor.name, dtype_name(tensor.dtype),
                        fmt::join(tensor.shape, ", "));
  }
  return text;
}

std::vector<std::string> verify(const fs::path& step_directory) {
  std::vector<std::string> defects;
  if (!fs::is_directory(step_directory)) return {fmt::format("{} is not a directory", step_directory.string())};
  collect(defects, [&] {
    const Manifest manifest = read_manifest(step_directory);
    std::set<Placed> present;
    for (const ManifestFile& file : manifest.files) {
      collect(defects, [&] { check_summary(file, hash_file(step_directory / file.name), step_directory); });
      collect(defects, [&] {
        for (const auto& [name, entry] : read_safetensors_header(step_directory / file.name).tensors) {
          present.insert({file.name, name, entry.dtype, entry.shape});
        }
      });
    }
    if (defects.empty()) compare_tensors(defects, step_directory, manifest, present);
    find_foreign_files(defects, step_directory, manifest);
  });
  return defects;
}

}  // namespace thinwire::checkpoint

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/coding.h"
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

uint64_t memory_bytes(const ManifestTensor& tensor) { return num_bytes(tensor.dtype, tensor.shape).value_or(0) * tensor.files.size(); }

std::string describe_loss(const ManifestTensor& tensor) {
  if (tensor.form) return ": " + describe_tolerance(*tensor.form);
  if (!tensor.centres) return "";
  return fmt::format(": {}, off by {:.3g} at most", describe_tolerance(tensor.centres->kind), tensor.centres->off_by);
}

struct Size {
  uint64_t memory_bytes = 0, stored_bytes = 0;
};

std::string size_line(const std::string& what, const Size& size) {
  const double ratio = size.stored_bytes == 0 ? 1 : static_cast<double>(size.memory_bytes) / static_cast<double>(size.stored_bytes);
  return fmt::format("  {:<24} {:>10}  stored in {:>10}  {:.3f}\n", what, human_bytes(static_cast<double>(size.memory_bytes)),
                     human_bytes(static_cast<double>(size.stored_bytes)), ratio);
}

std::string sizes_by_kind(const Manifest& manifest) {
  std::map<std::string, Size> sizes;
  Size all;
  for (const ManifestTensor& tensor : manifest.tensors) {
    for (Size* size : {&sizes[group_of(tensor.name)], &all}) {
      size->memory_bytes += memory_bytes(tensor);
      size->stored_bytes += tensor.stored_bytes;
    }
  }
  std::string text;
  for (const auto& [kind, size] : sizes) text += size_line(in_quotes(kind), size);
  return text + size_line("all", all);
}

Listing listing_of(int64_t step, const fs::path& path) {
  Listing listing{.step = step, .path = path};
  try {
    Manifest manifest = read_manifest(path);
    listing.bytes = total_bytes(manifest);
    listing.world = manifest.world;
    listing.created = manifest.created;
    if (manifest.base) listing.base = manifest.base->step;
    if (manifest.is_lossy()) listing.lossy = manifest.lossy_how();
    listing.lossy_restores = std::move(manifest.facts.lossy_restores);
    listing.defects = glance(path);
  } catch (const NewerVersion&) {
    throw;
  } catch (const CheckpointError& e) {
    listing.defects.push_back(e.what());
  }
  return listing;
}

}  // namespace

std::vector<Listing> list(const fs::path& directory) {
  std::vector<Listing> listings;
  std::vector<int64_t> steps = steps_in(directory);
  std::reverse(steps.begin(), steps.end());
  for (const int64_t step : steps) {
    try {
      Listing listing = listing_of(step, directory / step_name(step));
      if (fs::exists(listing.path)) listings.push_back(std::move(listing));  // a run that goes on removes older ones meanwhile
    } catch (const NewerVersion& e) {
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
  for (const std::string& defect : glance(step_directory)) text += fmt::format("damaged: {}\n", defect);
  if (manifest.base) {
    text += fmt::format("needs {}, whose manifest has XXH3 {}\n", step_name(manifest.base->step), to_hex(manifest.base->manifest_hash));
  }
  for (const LossyRestore& restore : manifest.facts.lossy_restores) {
    text += fmt::format("its state went through {} ({}), whose manifest has XXH3 {}\n", step_name(restore.step), restore.how,
                        to_hex(restore.manifest_hash));
  }
  text += "\nfiles\n";
  for (const ManifestFile& file : manifest.files) {
    text += fmt::format("  {:<24} {:>16} bytes  xxh3 {}\n", file.name, with_thousands(static_cast<int64_t>(file.summary.bytes)),
                        to_hex(file.summary.hash));
  }
  text += "\nnumbers\n";
  for (const auto& [name, value] : manifest.numbers) text += fmt::format("  {} = {}\n", name, value);
  text += "\nstate, in memory and stored\n" + sizes_by_kind(manifest);
  text += "\ntensors\n";
  for (const ManifestTensor& tensor : manifest.tensors) {
    text += fmt::format("  {:<10} {} {}{}\n", scope_name(tensor.scope), tensor.name, describe_tensor(tensor.dtype, tensor.shape),
                        describe_loss(tensor));
  }
  return text;
}

}  // namespace thinwire::checkpoint

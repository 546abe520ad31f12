#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "checkpoint/chain.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

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
    defects.push_back(fmt::format("{}: tensor {} {} {}", (path / file).string(), in_quotes(name), describe_tensor(dtype, shape), what));
  };
  for (const Placed& one : missing) report(one, "is listed in the manifest, but not in the file");
  for (const Placed& one : extra) report(one, "is in the file, but not listed in the manifest");
}

// A loss that the manifest does not tell of would be found by nobody.
void require_stated(const Manifest& manifest, const std::string& file, const std::string& name, const StoredTensor& stored) {
  if (is_exact(stored.coding)) return;
  const bool is_stated = std::ranges::any_of(manifest.tensors, [&](const ManifestTensor& tensor) {
    const bool fits = is_extreme(stored.coding) ? tensor.centres && tensor.centres->kind == kind_of(stored.coding)
                                                : tensor.form == form_of(stored.coding);
    return tensor.name == name && fits && std::ranges::find(tensor.files, file) != tensor.files.end();
  });
  if (!is_stated)
    throw CheckpointError(fmt::format("{}: tensor {} is kept with a loss that the manifest does not state", file, in_quotes(name)));
}

// Of a file whose hash is good: what it holds must decode too, through the bases, whose files are read for it.
void decode_all(ChainFiles& files, const std::string& file_name) {
  exact::ChunkCoder coder;
  std::vector<std::byte> bytes;
  for (const auto& [name, stored] : files.shard(file_name)->tensors) {
    const auto reader = files.reader(file_name, name);
    for (size_t chunk = 0; chunk < reader->num_chunks(); ++chunk) {
      bytes.resize(reader->bytes_of(chunk));
      reader->read(chunk, coder, bytes);
    }
  }
}

}  // namespace

std::vector<std::string> verify(const fs::path& step_directory) {
  std::vector<std::string> defects;
  if (!fs::is_directory(step_directory)) return {fmt::format("{} is not a directory", step_directory.string())};
  collect(defects, [&] {
    const Manifest manifest = read_manifest(step_directory);
    ChainFiles files(read_chain(step_directory), ChainFiles::Check::every_byte);
    std::set<Placed> present;
    for (const ManifestFile& listed : manifest.files) {
      collect(defects, [&] {
        for (const auto& [name, stored] : files.shard(listed.name)->tensors) {
          present.insert({listed.name, name, stored.dtype, stored.shape});
          require_stated(manifest, listed.name, name, stored);
        }
        decode_all(files, listed.name);
      });
    }
    if (defects.empty()) compare_tensors(defects, step_directory, manifest, present);
  });
  return defects;
}

std::vector<std::string> glance(const fs::path& step_directory) {
  std::vector<std::string> defects;
  collect(defects, [&] {
    ChainFiles files(read_chain(step_directory), ChainFiles::Check::headers);
    for (size_t link = 0; link < files.chain().size(); ++link) {
      for (const ManifestFile& listed : files.chain()[link].manifest.files) collect(defects, [&] { files.shard(listed.name, link); });
    }
  });
  return defects;
}

std::vector<std::string> foreign_files(const fs::path& step_directory) {
  const Manifest manifest = read_manifest(step_directory);
  std::set<std::string> known = {kManifestName, kCompleteName};
  for (const ManifestFile& file : manifest.files) known.insert(file.name);
  std::vector<std::string> foreign;
  for (const auto& entry : fs::directory_iterator(step_directory)) {
    if (!known.contains(entry.path().filename().string())) foreign.push_back(entry.path().string());
  }
  std::ranges::sort(foreign);
  return foreign;
}

}  // namespace thinwire::checkpoint

#include "checkpoint/rewrite.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/output.h"
#include "base/text.h"
#include "checkpoint/elements.h"
#include "checkpoint/exact/parallel.h"
#include "checkpoint/layout.h"
#include "checkpoint/retention.h"
#include "checkpoint/shards.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

namespace fs = std::filesystem;

// One tensor of each source, of the same file and name; the last source is the newest.
using Fill = std::function<void(const std::string& file, const std::string& name, MutableBytes into)>;

void read_whole(ChainFiles& files, const std::string& file, const std::string& name, MutableBytes into) {
  const auto reader = files.reader(file, name);
  check(reader->num_bytes() == into.size(), "a tensor has the size of its shape");
  exact::ChunkCoder coder;
  for (size_t chunk = 0; chunk < reader->num_chunks(); ++chunk)
    reader->read(chunk, coder, into.subspan(reader->begin_of(chunk), reader->bytes_of(chunk)));
}

// A file's tensors in memory.
struct Rewritten {
  std::vector<std::vector<std::byte>> memory;
  State state;
};

void add_file(Rewritten& contents, ChainFiles& files, const std::string& file, Scope scope, const Rewrite& how, const Fill& fill) {
  const ChainFiles::Shard* shard = files.shard(file);
  if (shard == nullptr) return;
  for (const auto& [name, stored] : shard->tensors) {
    contents.memory.emplace_back(*num_bytes(stored.dtype, stored.shape));
    fill(file, name, contents.memory.back());
    StateTensor& tensor = contents.state.tensors.emplace_back();
    tensor.name = name;
    tensor.dtype = stored.dtype;
    tensor.shape = stored.shape;
    tensor.scope = scope;
    tensor.tolerance = how.tolerance_of(name);
    if (how.guide_of) tensor.guide = how.guide_of(name);
  }
}

// As a save by all ranks, one after another. `source` is open: its files say what there is.
fs::path write_alone(ChainFiles& source, Manifest manifest, const Rewrite& how, const Fill& fill) {
  Files files;
  const std::string step = step_name(manifest.step), id = to_hex(manifest.hash ^ hash64(std::to_string(getpid()))).substr(0, 8);
  if (fs::exists(how.directory / step))
    throw ConfigError(fmt::format("{} exists already; remove it, or name another directory", (how.directory / step).string()));
  const NewFolders above(how.directory);
  make_directories(files, how.directory);
  const std::string temporary = work_name(Work::tmp, step, id);
  const fs::path path = how.directory / temporary;
  files.make_directory(path);
  try {
    manifest.files.clear();
    manifest.base =
        how.options.mode == "extreme" ? choose_base(how.directory, manifest.step, manifest.world, most_bases(how.options)) : std::nullopt;
    const auto base = manifest.base ? std::optional(read_chain(how.directory / step_name(manifest.base->step))) : std::nullopt;
    for (int rank = 0; rank < manifest.world; ++rank) {
      Rewritten contents;
      if (rank == 0) add_file(contents, source, kModelFileName, Scope::replicated, how, fill);
      add_file(contents, source, rank_file_name(rank), Scope::per_rank, how, fill);
      for (size_t i = 0; i < contents.memory.size(); ++i) contents.state.tensors[i].memory = contents.memory[i];
      for (ManifestFile& file : write_shards(files, path, rank, manifest.step, contents.state, how.options, base))
        manifest.files.push_back(std::move(file));
    }
    manifest.facts.version = how.version;
    seal(files, path, manifest);
    publish(files, how.directory, temporary, manifest.step, id);
  } catch (const CheckpointError&) {
    abandon(files, how.directory, temporary);
    throw;
  }
  return how.directory / step;
}

void require_different(const std::vector<fs::path>& step_directories) {
  if (step_directories.size() < 2) throw ConfigError("an average is of two checkpoints or more, and one was named");
  std::set<fs::path> seen;
  for (const fs::path& path : step_directories) {
    if (!seen.insert(fs::weakly_canonical(path)).second) throw ConfigError(path.string() + " is named twice: an average takes it once");
  }
}

// What a person must see to know which of the sources does not fit.
void require_alike(const ChainFiles& newest, const ChainFiles& other) {
  const Manifest &a = newest.chain().front().manifest, &b = other.chain().front().manifest;
  const std::string both = fmt::format("{} and {}", newest.chain().front().directory.string(), other.chain().front().directory.string());
  if (a.world != b.world) throw CheckpointError(fmt::format("{} are of {} and {} ranks", both, a.world, b.world));
  if (a.step == b.step) throw CheckpointError(fmt::format("{} are of the same step", both));
}

const StoredTensor& same_tensor(ChainFiles& files, const std::string& file, const std::string& name, const StoredTensor& as) {
  const ChainFiles::Shard* shard = files.shard(file);
  const auto found = shard == nullptr ? std::map<std::string, StoredTensor>::const_iterator() : shard->tensors.find(name);
  const std::string where = fmt::format("{}: tensor {}", (files.chain().front().directory / file).string(), in_quotes(name));
  if (shard == nullptr || found == shard->tensors.end())
    throw CheckpointError(where + " is not there: take checkpoints of one model, all between rounds or all within one");
  if (found->second.dtype == as.dtype && found->second.shape == as.shape) return found->second;
  throw CheckpointError(fmt::format("{} is {}, in another checkpoint {}", where, describe_tensor(found->second.dtype, found->second.shape),
                                    describe_tensor(as.dtype, as.shape)));
}

void mean_of(std::vector<ChainFiles>& sources, const std::string& file, const std::string& name, MutableBytes into) {
  const StoredTensor& as = sources.back().shard(file)->tensors.at(name);
  const size_t width = size_of(as.dtype);
  std::vector<double> sums(into.size() / width, 0.0);
  for (ChainFiles& source : sources) {
    same_tensor(source, file, name, as);
    read_whole(source, file, name, into);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += value_at(as.dtype, into.data() + i * width);
  }
  for (size_t i = 0; i < sums.size(); ++i) store_value(as.dtype, sums[i] / static_cast<double>(sources.size()), into.data() + i * width);
}

// Whether each rank has saved weights of its own.
bool has_replicas(ChainFiles& source, const std::function<bool(std::string_view)>& is_averaged) {
  const ChainFiles::Shard* shard = source.shard(rank_file_name(0));
  return shard != nullptr && std::ranges::any_of(shard->tensors, [&](const auto& tensor) { return is_averaged(tensor.first); });
}

// Those saved between rounds, where all ranks have the same weights, do not fit those saved within one, as a stop by a signal may leave.
void require_same_moment(std::vector<ChainFiles>& sources, const std::function<bool(std::string_view)>& is_averaged) {
  std::vector<std::string> between, within;
  for (ChainFiles& source : sources) {
    (has_replicas(source, is_averaged) ? within : between).push_back(source.chain().front().directory.filename().string());
  }
  if (between.empty() || within.empty()) return;
  throw CheckpointError(
      fmt::format("of these checkpoints {} {} saved within a round of exchange, where each rank has weights of its own (a stop by a signal "
                  "leaves such a one), and {} between rounds: average the ones or the others, naming each",
                  join(within, ", "), within.size() == 1 ? "was" : "were", join(between, ", ")));
}

// Nothing that is to be averaged may be left out.
void require_no_more(ChainFiles& newest, ChainFiles& other, const std::function<bool(std::string_view)>& is_averaged) {
  for (const ManifestFile& file : other.chain().front().manifest.files) {
    for (const auto& [name, stored] : other.shard(file.name)->tensors) {
      if (is_averaged(name)) same_tensor(newest, file.name, name, stored);
    }
  }
}

bool is_float(DType dtype) { return dtype != DType::i64 && dtype != DType::u8; }

}  // namespace

fs::path convert(const fs::path& step_directory, const Rewrite& how) {
  ChainFiles source(read_chain(step_directory), ChainFiles::Check::every_byte);
  Manifest manifest = source.chain().front().manifest;
  if (manifest.is_lossy()) manifest.facts.lossy_restores.push_back({manifest.step, manifest.hash, manifest.lossy_how()});
  return write_alone(source, std::move(manifest), how,
                     [&](const std::string& file, const std::string& name, MutableBytes into) { read_whole(source, file, name, into); });
}

fs::path average(const std::vector<fs::path>& step_directories, const Rewrite& how,
                 const std::function<bool(std::string_view name)>& is_averaged) {
  require_different(step_directories);
  std::vector<ChainFiles> sources;
  for (const fs::path& path : step_directories) sources.emplace_back(read_chain(path), ChainFiles::Check::every_byte);
  const auto step_of = [](const ChainFiles& files) { return files.chain().front().manifest.step; };
  std::ranges::stable_sort(sources, {}, step_of);
  for (size_t i = 0; i + 1 < sources.size(); ++i) require_alike(sources.back(), sources[i]);
  for (size_t i = 0; i + 1 < sources.size(); ++i) require_alike(sources[i + 1], sources[i]);
  require_same_moment(sources, is_averaged);
  for (size_t i = 0; i + 1 < sources.size(); ++i) require_no_more(sources.back(), sources[i], is_averaged);
  Manifest manifest = sources.back().chain().front().manifest;
  for (const ChainFiles& source : sources)
    manifest.facts.lossy_restores.push_back({step_of(source), source.chain().front().manifest.hash, "average"});
  ChainFiles& newest = sources.back();
  return write_alone(newest, std::move(manifest), how, [&](const std::string& file, const std::string& name, MutableBytes into) {
    const bool averages = is_averaged(name) && is_float(newest.shard(file)->tensors.at(name).dtype);
    averages ? mean_of(sources, file, name, into) : read_whole(newest, file, name, into);
  });
}

}  // namespace thinwire::checkpoint

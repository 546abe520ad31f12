#include "checkpoint/regroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/text.h"
#include "checkpoint/elements.h"
#include "checkpoint/exact/parallel.h"
#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {
namespace {

using Kind = Regrouping::Kind;

uint64_t elems_of(const std::vector<int64_t>& shape) { return num_bytes(DType::u8, shape).value_or(0); }

}  // namespace

std::vector<Weight> regroup_weights(int to, int to_count, int from_count) {
  std::vector<Weight> weights;
  // Shares in units of 1 / (from_count * to_count): exact.
  const int64_t begin = int64_t{to} * from_count, end = begin + from_count;
  for (int from = static_cast<int>(begin / to_count); from < from_count && int64_t{from} * to_count < end; ++from) {
    const int64_t low = std::max(begin, int64_t{from} * to_count), high = std::min(end, (int64_t{from} + 1) * to_count);
    if (low < high) weights.push_back({from, static_cast<double>(high - low) / from_count});
  }
  return weights;
}

RegroupedShards::RegroupedShards(Chain chain, int rank, int world)
    : files_(std::move(chain), ChainFiles::Check::headers), rank_(rank), world_(world) {
  const Manifest& manifest = files_.chain().front().manifest;
  for (int saved_by = 0; saved_by < manifest.world; ++saved_by) {
    const std::string file = rank_file_name(saved_by);
    const ChainFiles::Shard* shard = files_.shard(file);
    if (shard == nullptr) continue;
    for (const auto& [name, stored] : shard->tensors) keepers_[name].push_back(file);
  }
  for (const auto& [name, files] : keepers_) own_names_.push_back(name);
}

std::vector<RegroupedShards::Source> RegroupedShards::keepers_of(const std::string& name) const {
  std::vector<Source> keepers;
  const auto found = keepers_.find(name);
  if (found == keepers_.end()) return keepers;
  for (const std::string& file : found->second) keepers.push_back({file, name});
  return keepers;
}

// What the tensor's mean is made of, or the one that it is. Empty: it was not saved.
std::vector<RegroupedShards::Source> RegroupedShards::sources_of(const StateTensor& tensor) const {
  const Regrouping& how = tensor.regrouping;
  const std::vector<Source> keepers = keepers_of(how.levels.empty() ? tensor.name : how.levels);
  if (keepers.empty() || how.kind != Kind::mean) return keepers;
  const bool all_keep = how.keepers == 0;
  std::vector<Source> sources;
  for (const auto& [from, weight] :
       regroup_weights(all_keep ? rank_ : how.keeper, all_keep ? world_ : how.keepers, static_cast<int>(keepers.size()))) {
    sources.push_back(keepers[static_cast<size_t>(from)]);
    sources.back().weight = weight;
  }
  return sources;
}

bool RegroupedShards::compare_form(std::vector<std::string>& lines, const StateTensor& tensor, const Source& source, DType dtype) {
  const StoredTensor& saved = stored(source);
  if (saved.dtype == dtype && saved.shape == tensor.shape) return true;
  lines.push_back(fmt::format("{}: {} in the checkpoint ({}), {} in this run", source.name, describe_tensor(saved.dtype, saved.shape),
                              source.file, describe_tensor(dtype, tensor.shape)));
  return false;
}

void RegroupedShards::compare(std::vector<std::string>& lines, const StateTensor& tensor) {
  const Regrouping& how = tensor.regrouping;
  if (how.kind == Kind::anew) return;
  const ChainFiles::Shard& shared = *files_.shard(kModelFileName);
  if (shared.tensors.contains(tensor.name)) {
    compare_form(lines, tensor, {kModelFileName, tensor.name}, tensor.dtype);
    return;
  }
  const std::vector<Source> keepers = keepers_of(how.levels.empty() ? tensor.name : how.levels);
  if (keepers.empty()) {
    lines.push_back(fmt::format("{} {}: missing in the checkpoint", tensor.name, describe_tensor(tensor.dtype, tensor.shape)));
    return;
  }
  if (how.kind == Kind::slice) {
    uint64_t elems = 0;
    for (const Source& source : keepers) elems += elems_of(stored(source).shape);
    const bool alike = std::ranges::all_of(keepers, [&](const Source& source) { return stored(source).dtype == tensor.dtype; });
    if (!alike || elems != how.whole) {
      lines.push_back(
          fmt::format("{}: the slices of all ranks make {} elements in the checkpoint, {} in this run", tensor.name, elems, how.whole));
    }
    return;
  }
  for (const Source& source : keepers) {
    if (!compare_form(lines, tensor, source, how.levels.empty() ? tensor.dtype : DType::u8)) return;
    if (how.levels.empty()) continue;
    const auto& tensors = files_.shard(source.file)->tensors;
    const auto scales = tensors.find(how.scales);
    const uint64_t blocks = (elems_of(tensor.shape) + how.block - 1) / how.block;
    if (scales != tensors.end() && scales->second.dtype == DType::f32 && elems_of(scales->second.shape) == blocks) continue;
    lines.push_back(fmt::format("{}: {} has no {} scales for it", how.levels, source.file, blocks));
    return;
  }
}

std::vector<std::string> RegroupedShards::mismatches(const State& state) {
  std::vector<std::string> lines;
  std::set<std::string> wanted;
  for (const StateTensor& tensor : state.tensors) {
    wanted.insert(tensor.name);
    compare(lines, tensor);
  }
  for (const auto& [name, saved] : files_.shard(kModelFileName)->tensors) {
    if (!wanted.contains(name))
      lines.push_back(
          fmt::format("{} {}: unexpected, this run has no such state", in_quotes(name), describe_tensor(saved.dtype, saved.shape)));
  }
  const auto& numbers = files_.chain().front().manifest.numbers;
  for (const auto& [name, value] : state.numbers) {
    if (!numbers.contains(name)) lines.push_back(fmt::format("number {}: missing in the checkpoint", name));
  }
  return lines;
}

std::vector<bool> RegroupedShards::unclaimed(const State& state) const {
  std::set<std::string> claimed;
  for (const StateTensor& tensor : state.tensors) {
    for (const std::string& name : {tensor.name, tensor.regrouping.levels, tensor.regrouping.scales}) claimed.insert(name);
  }
  std::vector<bool> unclaimed;
  for (const std::string& name : own_names_) unclaimed.push_back(!claimed.contains(name));
  return unclaimed;
}

std::vector<std::byte> RegroupedShards::whole(const Source& source) {
  const auto from = reader(source);
  std::vector<std::byte> bytes(from->num_bytes());
  exact::ChunkCoder coder;
  for (size_t chunk = 0; chunk < from->num_chunks(); ++chunk)
    from->read(chunk, coder, MutableBytes(bytes).subspan(from->begin_of(chunk), from->bytes_of(chunk)));
  return bytes;
}

void RegroupedShards::read_mean(const StateTensor& tensor, const std::vector<Source>& sources, std::vector<std::byte>& into) {
  if (sources.size() == 1) {
    into = whole(sources.front());  // bit for bit
    return;
  }
  const size_t width = size_of(tensor.dtype);
  std::vector<double> sums(into.size() / width, 0.0);
  for (const Source& source : sources) {
    const std::vector<std::byte> bytes = whole(source);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += source.weight * value_at(tensor.dtype, bytes.data() + i * width);
  }
  for (size_t i = 0; i < sums.size(); ++i) store_value(tensor.dtype, sums[i], into.data() + i * width);
}

void RegroupedShards::read_packed(const StateTensor& tensor, const std::vector<Source>& sources, std::vector<std::byte>& into) {
  std::vector<double> sums(into.size() / sizeof(float), 0.0);
  for (const Source& source : sources) {
    const std::vector<std::byte> levels = whole(source), scales = whole({source.file, tensor.regrouping.scales});
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto scale = load_le<float>(scales.data() + i / tensor.regrouping.block * sizeof(float));
      sums[i] += source.weight * scale * static_cast<int8_t>(levels[i]);
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) store_le(into.data() + i * sizeof(float), static_cast<float>(sums[i]));
}

// The slices of all ranks, one after another, hold what this rank's is to be.
void RegroupedShards::read_slice(const StateTensor& tensor, std::vector<std::byte>& into) {
  const uint64_t width = size_of(tensor.dtype), begin = tensor.regrouping.begin * width, end = begin + into.size();
  uint64_t at = 0;
  for (const Source& source : keepers_of(tensor.name)) {
    const uint64_t from = at, to = at + reader(source)->num_bytes();
    at = to;
    const uint64_t low = std::max(begin, from), high = std::min(end, to);
    if (low >= high) continue;
    const std::vector<std::byte> slice = whole(source);
    std::memcpy(into.data() + (low - begin), slice.data() + (low - from), high - low);
  }
}

// Every rank compares some.
void RegroupedShards::require_same(const StateTensor& tensor, const std::vector<Source>& keepers, ConstBytes first) {
  const int each = std::max(1, tensor.regrouping.keepers == 0 ? world_ : tensor.regrouping.keepers);
  const int mine = tensor.regrouping.keepers == 0 ? rank_ : tensor.regrouping.keeper;
  for (size_t i = 1; i < keepers.size(); ++i) {
    if (static_cast<int>(i) % each != mine) continue;
    if (std::ranges::equal(whole(keepers[i]), first)) continue;
    throw CheckpointError(
        fmt::format("{}: {} and {} differ, though ranks keep it alike: the run that saved it had gone wrong; use an older "
                    "checkpoint (run.verify_every finds this while training)",
                    tensor.name, keepers[0].file, keepers[i].file));
  }
}

RegroupedShards::Fate RegroupedShards::read_one(const StateTensor& tensor, std::vector<std::byte>& into) {
  const Regrouping& how = tensor.regrouping;
  if (how.kind == Kind::anew) return Fate::anew;
  if (files_.shard(kModelFileName)->tensors.contains(tensor.name)) {
    into = whole({kModelFileName, tensor.name});
    return Fate::kept;
  }
  if (how.kind == Kind::slice) {
    read_slice(tensor, into);
    return Fate::cut;
  }
  const std::vector<Source> sources = sources_of(tensor);
  if (how.kind == Kind::same) {
    into = whole(sources.front());
    require_same(tensor, sources, into);
    return Fate::kept;
  }
  how.levels.empty() ? read_mean(tensor, sources, into) : read_packed(tensor, sources, into);
  return Fate::mapped;
}

void RegroupedShards::read(const State& state) {
  contents_.clear();
  fates_.clear();
  for (const StateTensor& tensor : state.tensors) {
    contents_.emplace_back(tensor.memory.size());
    const Fate fate = read_one(tensor, contents_.back());
    check(contents_.back().size() == tensor.memory.size(), "shapes were compared before anything is read");
    auto& kinds = fates_[fate];
    const std::string kind = group_of(tensor.name);
    if (std::ranges::find(kinds, kind) == kinds.end()) kinds.push_back(kind);
  }
}

void RegroupedShards::restore(State& state) const {
  check(contents_.size() == state.tensors.size(), "what is restored was read for the same state");
  for (size_t i = 0; i < contents_.size(); ++i) {
    if (!contents_[i].empty()) std::memcpy(state.tensors[i].memory.data(), contents_[i].data(), contents_[i].size());
  }
  state.numbers = files_.chain().front().manifest.numbers;
}

std::vector<std::string> RegroupedShards::report() const {
  static const std::map<Fate, std::string> kWhat = {{Fate::kept, "kept as it was"},
                                                    {Fate::mapped, "mapped, each rank has the mean of those whose samples it takes over"},
                                                    {Fate::cut, "cut anew among the ranks"},
                                                    {Fate::anew, "begun anew"}};
  std::vector<std::string> lines;
  for (const auto& [fate, kinds] : fates_) lines.push_back(fmt::format("{}: {}", kWhat.at(fate), join(kinds, ", ")));
  return lines;
}

}  // namespace thinwire::checkpoint

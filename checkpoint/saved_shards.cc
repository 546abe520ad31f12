#include "checkpoint/saved_shards.h"

#include <fmt/format.h>

#include <cstring>
#include <set>

#include "checkpoint/exact/parallel.h"
#include "checkpoint/layout.h"
#include "checkpoint/strict_json.h"

namespace thinwire::checkpoint {

SavedShards::SavedShards(Chain chain, int rank) : files_(std::move(chain), ChainFiles::Check::every_byte), own_name_(rank_file_name(rank)) {
  for (const std::string& name : {own_name_, std::string(kModelFileName)}) files_.shard(name);
}

std::string SavedShards::file_with(const std::string& name) {
  for (const std::string& file : {own_name_, std::string(kModelFileName)}) {
    const ChainFiles::Shard* shard = files_.shard(file);
    if (shard != nullptr && shard->tensors.contains(name)) return file;
  }
  return "";
}

std::vector<std::string> SavedShards::mismatches(const State& state) {
  std::vector<std::string> lines;
  std::set<std::string> wanted;
  for (const StateTensor& tensor : state.tensors) {
    wanted.insert(tensor.name);
    const std::string file = file_with(tensor.name);
    if (file.empty()) {
      lines.push_back(fmt::format("{} {}: missing in the checkpoint", tensor.name, describe_tensor(tensor.dtype, tensor.shape)));
      continue;
    }
    const StoredTensor& saved = files_.shard(file)->tensors.at(tensor.name);
    if (saved.dtype != tensor.dtype || saved.shape != tensor.shape) {
      lines.push_back(fmt::format("{}: {} in the checkpoint, {} in this run", tensor.name, describe_tensor(saved.dtype, saved.shape),
                                  describe_tensor(tensor.dtype, tensor.shape)));
    }
  }
  for (const std::string& file : {std::string(kModelFileName), own_name_}) {
    const ChainFiles::Shard* shard = files_.shard(file);
    if (!shard) continue;
    for (const auto& [name, saved] : shard->tensors) {
      if (wanted.contains(name)) continue;
      lines.push_back(
          fmt::format("{} {}: unexpected, this run has no such state", in_quotes(name), describe_tensor(saved.dtype, saved.shape)));
    }
  }
  for (const auto& [name, value] : state.numbers) {
    if (!numbers().contains(name)) lines.push_back(fmt::format("number {}: missing in the checkpoint", name));
  }
  return lines;
}

void SavedShards::read(const State& state, int threads) {
  struct Piece {
    size_t tensor, chunk;
  };
  std::vector<std::shared_ptr<const TensorReader>> readers;
  std::vector<Piece> pieces;
  contents_.clear();
  for (const StateTensor& tensor : state.tensors) {
    readers.push_back(files_.reader(file_with(tensor.name), tensor.name));
    check(readers.back()->num_bytes() == tensor.memory.size(), "shapes were compared before anything is read");
    for (size_t chunk = 0; chunk < readers.back()->num_chunks(); ++chunk) pieces.push_back({contents_.size(), chunk});
    contents_.emplace_back(tensor.memory.size());
  }
  exact::in_parallel(pieces.size(), threads, [&](size_t i, exact::ChunkCoder& coder) {
    const auto [t, chunk] = pieces[i];
    const TensorReader& reader = *readers[t];
    reader.read(chunk, coder, MutableBytes(contents_[t]).subspan(reader.begin_of(chunk), reader.bytes_of(chunk)));
  });
}

void SavedShards::restore(State& state) const {
  check(contents_.size() == state.tensors.size(), "what is restored was read for the same state");
  for (size_t i = 0; i < contents_.size(); ++i) {
    if (!contents_[i].empty()) std::memcpy(state.tensors[i].memory.data(), contents_[i].data(), contents_[i].size());
  }
  state.numbers = numbers();
}

}  // namespace thinwire::checkpoint

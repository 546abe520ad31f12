// What one rank gets of a checkpoint that another number of ranks saved.
//
// Ranks take blocks of each step's samples in turn (rank r of N those from r / N on), so each rank of the new world takes over samples of
// some of the old: of a rank that keeps a tensor, the share that its samples are of the new rank's own is its weight. Weights add up to 1
// over the old ranks for each new one, and to M / N over the new ranks for each old one:
//
//   x'_j = sum_i w_ij x_i,   w_ij = M * |[i/N, (i+1)/N) and [j/M, (j+1)/M)|   =>   (1/M) sum_j x'_j = (1/N) sum_i x_i
//
// so residuals lose nothing of what they still have to bring into the mean, and estimates keep theirs. From 2 to 4 ranks these are copies,
// from 4 to 2 means of pairs.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/chain.h"
#include "checkpoint/state.h"

namespace thinwire::checkpoint {

struct Weight {
  int rank;      // of the old world
  double value;  // above 0
};
// Of the new world's rank `to` of `to_count`; by rank.
std::vector<Weight> regroup_weights(int to, int to_count, int from_count);

class RegroupedShards {
 public:
  // Headers of all files are checked; their bytes have been. CheckpointError.
  RegroupedShards(Chain chain, int rank, int world);

  // Empty when read() may be called: else one line per difference between what was saved and what this rank wants.
  std::vector<std::string> mismatches(const State& state);
  // Names that were saved per rank, sorted, and those among them that this rank's state has no use for.
  const std::vector<std::string>& own_names() const { return own_names_; }
  std::vector<bool> unclaimed(const State& state) const;

  void read(const State& state);     // CheckpointError when something is damaged, or ranks that should agree do not
  void restore(State& state) const;  // what was read
  // What read() did, for people: a line each for what was kept, mapped and begun anew.
  std::vector<std::string> report() const;

 private:
  struct Source {
    std::string file, name;
    double weight = 1;
  };
  enum class Fate : uint8_t { kept, mapped, cut, anew };
  std::vector<Source> keepers_of(const std::string& name) const;  // by rank
  std::vector<Source> sources_of(const StateTensor& tensor) const;
  void compare(std::vector<std::string>& lines, const StateTensor& tensor);
  bool compare_form(std::vector<std::string>& lines, const StateTensor& tensor, const Source& source, DType dtype);
  const StoredTensor& stored(const Source& source) { return files_.shard(source.file)->tensors.at(source.name); }
  std::shared_ptr<const TensorReader> reader(const Source& source) { return files_.reader(source.file, source.name); }
  std::vector<std::byte> whole(const Source& source);

  Fate read_one(const StateTensor& tensor, std::vector<std::byte>& into);
  void read_mean(const StateTensor& tensor, const std::vector<Source>& sources, std::vector<std::byte>& into);
  void read_packed(const StateTensor& tensor, const std::vector<Source>& sources, std::vector<std::byte>& into);
  void read_slice(const StateTensor& tensor, std::vector<std::byte>& into);
  void require_same(const StateTensor& tensor, const std::vector<Source>& keepers, ConstBytes first);

  ChainFiles files_;
  int rank_, world_;
  std::map<std::string, std::vector<std::string>> keepers_;  // of each tensor that was saved per rank: the files, by rank
  std::vector<std::string> own_names_;
  std::vector<std::vector<std::byte>> contents_;  // of the state's tensors, once read
  std::map<Fate, std::vector<std::string>> fates_;
};

}  // namespace thinwire::checkpoint

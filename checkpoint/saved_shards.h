// What one rank gets of a checkpoint: its own file and the shared one, through their bases.
#pragma once
#include <string>
#include <vector>

#include "checkpoint/chain.h"
#include "checkpoint/state.h"

namespace thinwire::checkpoint {

class SavedShards {
 public:
  // Sizes, hashes and headers of its files are checked. CheckpointError.
  SavedShards(Chain chain, int rank);

  // Empty when read() may be called: else one line per difference between what was saved and what the run wants.
  std::vector<std::string> mismatches(const State& state);
  // Decodes all that `state` names into memory of its own. CheckpointError when something is damaged after all.
  void read(const State& state, int threads);
  void restore(State& state) const;  // what was read

 private:
  const std::map<std::string, int64_t>& numbers() const { return files_.chain().front().manifest.numbers; }
  // The file that has it, whatever scope it was saved with; empty when neither does.
  std::string file_with(const std::string& name);

  ChainFiles files_;
  std::string own_name_;
  std::vector<std::vector<std::byte>> contents_;  // of the state's tensors, once read
};

}  // namespace thinwire::checkpoint

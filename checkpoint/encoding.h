// The codings of the tensors of one file, by the mode of the save: exact/, near/ or extreme/.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "checkpoint/chain.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/state.h"

namespace thinwire::checkpoint {

// What a file gets of some tensors. The views refer to `codings` and to the tensors.
struct Contents {
  std::vector<std::vector<std::byte>> codings;
  std::vector<TensorView> views;
  std::map<std::string, std::string> metadata;
};

// How tensors of one file are coded.
struct Way {
  std::string file_name;
  CheckpointOptions options;
  ChainFiles* base = nullptr;  // what they may be coded against
};

// A tensor that coding does not make smaller, with what has to be said of it, stays as it is. All codings are in memory at once.
Contents encode(const std::vector<const StateTensor*>& tensors, const Way& way);

}  // namespace thinwire::checkpoint

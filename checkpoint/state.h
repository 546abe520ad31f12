// What a run must keep to go on as if it had never stopped, as named spans of memory. Rooms add their own state under their own prefix;
// nothing here knows what a name means.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/safetensors.h"

namespace thinwire::checkpoint {

// How a tensor is saved. A load finds it wherever it was put: what is equal on all ranks at one step need not be at another.
enum class Scope : uint8_t {
  replicated,  // the same on every rank: rank 0 writes it, everyone reads it
  per_rank,    // each rank's own: residuals, and under local_steps parameters and optimiser state
};

// How a rank gets a tensor of a checkpoint that more or fewer ranks saved (regroup.h). What was saved replicated is taken as it is, unless
// it is to begin anew.
struct Regrouping {
  enum class Kind : uint8_t {
    mean,   // of those ranks whose samples this one takes over, so that the mean over all ranks stays
    slice,  // from `begin` on, of what the slices of all ranks make, one after another
    same,   // what all ranks that kept it must have alike
    anew,   // nothing: its memory becomes zero
  };
  Kind kind = Kind::mean;
  // Which of the ranks that keep such a tensor this one is, and how many they are; 0: all ranks do.
  int keeper = 0, keepers = 0;
  uint64_t begin = 0, whole = 0;  // of a slice: elements
  // Not empty: this fp32 tensor, which no checkpoint has, is `levels` (int8, of its shape), each times the scale of its block.
  std::string levels = {}, scales = {};
  size_t block = 0;
};

// What checkpoint.mode near_exact (near/blocks.h) and extreme (extreme/family.h) may do to a tensor of F32. Nothing else ever loses a bit.
enum class Tolerance : uint8_t {
  none,
  moment,         // near_exact: values, in checkpoint.moments bits; extreme: centres
  second_moment,  // near_exact: square roots, rounded up, in checkpoint.moments bits; extreme: centres
  residual,       // values, in 8 bits; extreme: in 4
  weight,         // near_exact: none; extreme: centres of what it moved by since the base
};

struct StateTensor {
  std::string name;  // "model/model.norm.weight", "optim/exp_avg/...", "residual/..."
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<std::byte> memory;  // saved from here, restored to here
  Scope scope = Scope::replicated;
  Regrouping regrouping = {};
  Tolerance tolerance = Tolerance::none;
  std::string guide = {};  // extreme: the tensor of this shape that tells most about where this one matters; empty: none
};

// Of a tensor of F32.
inline std::span<const float> floats_of(const StateTensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.memory.data()), tensor.memory.size() / sizeof(float)};
}

// What a tensor is part of: "optim/exp_avg" of "optim/exp_avg/model.norm.weight".
inline std::string group_of(const std::string& name) { return name.substr(0, std::min(name.rfind('/'), name.size())); }

struct State {
  std::vector<StateTensor> tensors;
  // Small facts by name, equal on all ranks: "step", "data/next_sample", "schedule/...".
  std::map<std::string, int64_t> numbers;
};

}  // namespace thinwire::checkpoint

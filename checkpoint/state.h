// What a run must keep to go on as if it had never stopped, as named spans of memory. Rooms add their own state under their own prefix;
// nothing here knows what a name means.
#pragma once
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

struct StateTensor {
  std::string name;  // "model/model.norm.weight", "optim/exp_avg/...", "residual/..."
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<std::byte> memory;  // saved from here, restored to here
  Scope scope = Scope::replicated;
};

struct State {
  std::vector<StateTensor> tensors;
  // Small facts by name, equal on all ranks: "step", "data/next_sample", "schedule/...".
  std::map<std::string, int64_t> numbers;
};

}  // namespace thinwire::checkpoint

// How a model makes its parameters.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "models/model.h"

namespace thinwire::models {

// Leaf tensors in the order in which they are asked for. Values are a function of (seed, name, element); without a seed there are none:
// the tensors are on the meta device (footprint.h).
class Parameters {
 public:
  explicit Parameters(std::optional<uint64_t> seed) : seed_(seed) {}
  at::Tensor normal(const std::string& name, at::IntArrayRef shape, double std);     // mean 0; weight decay applies
  at::Tensor constant(const std::string& name, at::IntArrayRef shape, float value);  // no weight decay: norms and biases
  const std::vector<Parameter>& all() const { return all_; }

 private:
  at::Tensor keep(const std::string& name, const at::Tensor& value, bool decays);

  std::optional<uint64_t> seed_;
  std::vector<Parameter> all_;
};

}  // namespace thinwire::models

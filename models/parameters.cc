#include "models/parameters.h"

#include <ATen/ATen.h>

#include "base/draw.h"

namespace thinwire::models {

namespace {
at::Tensor outline(at::IntArrayRef shape) { return at::empty(shape, at::TensorOptions().dtype(at::kFloat).device(at::kMeta)); }
}  // namespace

at::Tensor Parameters::normal(const std::string& name, at::IntArrayRef shape, double std) {
  if (!seed_) return keep(name, outline(shape), true);
  auto value = at::empty(shape, at::kFloat);
  const Draw draw = Draw(*seed_).fork("init").fork(name);
  float* elements = value.data_ptr<float>();
  for (int64_t i = 0; i < value.numel(); ++i) elements[i] = static_cast<float>(std * draw.normal(static_cast<uint64_t>(i)));
  return keep(name, value, true);
}

at::Tensor Parameters::constant(const std::string& name, at::IntArrayRef shape, float value) {
  return keep(name, seed_ ? at::full(shape, value, at::kFloat) : outline(shape), false);
}

at::Tensor Parameters::keep(const std::string& name, const at::Tensor& value, bool decays) {
  all_.push_back({name, value.set_requires_grad(true), decays});
  return all_.back().value;
}

}  // namespace thinwire::models

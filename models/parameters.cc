#include "models/parameters.h"

#include <ATen/ATen.h>

#include "base/draw.h"

namespace thinwire::models {

at::Tensor Parameters::normal(const std::string& name, at::IntArrayRef shape, double std) {
  auto value = at::empty(shape, at::kFloat);
  const Draw draw = Draw(seed_).fork("init").fork(name);
  float* elements = value.data_ptr<float>();
  for (int64_t i = 0; i < value.numel(); ++i) elements[i] = static_cast<float>(std * draw.normal(static_cast<uint64_t>(i)));
  all_.push_back({name, value.set_requires_grad(true), true});
  return value;
}

at::Tensor Parameters::constant(const std::string& name, at::IntArrayRef shape, float value) {
  auto filled = at::full(shape, value, at::kFloat).set_requires_grad(true);
  all_.push_back({name, filled, false});
  return filled;
}

}  // namespace thinwire::models

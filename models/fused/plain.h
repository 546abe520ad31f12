// What the files of fused functions share, for themselves alone.
#pragma once
#include <ATen/ATen.h>

#include <stdexcept>
#include <string>

namespace thinwire::models::fused {

inline at::Tensor plain(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }
inline float* data(const at::Tensor& x) { return x.data_ptr<float>(); }

// The kernels write numbers that autograd does not see.
inline void refuse_second_derivative(const char* what) {
  if (at::GradMode::is_enabled())
    throw std::logic_error(std::string(what) + " has no second derivative: call backward without create_graph");
}

}  // namespace thinwire::models::fused

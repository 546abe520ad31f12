// The fused functions (functions.h) for tensors of a GPU: by kernels of ours (device_kernels.h) where the CUDA module is there, else
// composed of LibTorch's operations (composed.h). Under autocast to bf16 norms are given in bf16, as what comes next is a projection; the
// residual stream stays fp32.
#pragma once
#include "models/fused/functions.h"

namespace thinwire::models::fused::device {

Stream with_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
Stream sum_with_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps);
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace thinwire::models::fused::device

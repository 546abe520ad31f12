// Parts of a model that are computed in one pass over memory, with their gradients, and keep little for backward. Each returns what the
// composition of LibTorch's operations in its comment does, up to rounding; the same bits whatever the threads and the vectors of the CPU
// (reference.h defines them).
//
// On the CPU tensors are fp32; others are converted. For those of a GPU see device.h and composed.h. None has a second derivative: backward
// with create_graph throws std::logic_error, but for what is composed of LibTorch's operations.
#pragma once
#include <ATen/core/Tensor.h>

namespace thinwire::models::fused {

// RMSNorm (Zhang and Sennrich, arXiv 1910.07467, equation 4) of rows x (..., D): x / sqrt(mean(x^2) + eps) * weight. Keeps x, weight and
// one number a row.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

// A residual stream and the norm of it. What comes after should use this stream in place of its own: its gradient and that of the norm are
// then added in the norm's backward pass, not in one of their own.
struct Stream {
  at::Tensor value, normed;
};
Stream with_norm(const at::Tensor& x, const at::Tensor& weight, double eps);                               // x, rms_norm(x)
Stream sum_with_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps);  // x + delta, rms_norm(x + delta)

// silu(gate) * up (Shazeer, arXiv 2002.05202, equation 6). Keeps gate and up.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

// x (B, T, H, d) turned by its position, half-split as in reference.h; cos and sin (at least T, d) without gradient. Keeps nothing of x.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// Mean of log(sum over c of e^scores) - scores[target]: scores (N, C), targets int64 (N) in [0, C), else std::out_of_range. Keeps the
// gradient of the scores, which is computed with the loss.
at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& targets);

}  // namespace thinwire::models::fused

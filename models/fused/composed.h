// The fused functions (functions.h, attention.h) composed of LibTorch's operations: for devices that have no kernels of ours. Same shapes
// and meanings; what is kept for backward is what those operations keep. Under autocast they take and give bf16 as those operations do.
#pragma once
#include "models/fused/functions.h"

namespace thinwire::models::fused::composed {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);
at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& targets);
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace thinwire::models::fused::composed

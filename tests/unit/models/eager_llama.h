// The same Llama out of LibTorch's own operations, one by one, as PyTorch's eager mode would run it: what the fused functions are compared
// with, in value, in speed and in what they keep for backward.
#pragma once
#include "models/llama.h"

namespace thinwire::models {

at::Tensor eager_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor eager_swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor eager_rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);  // x (B, T, H, d)
at::Tensor eager_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);   // (B, T, H, d), K heads
at::Tensor eager_cross_entropy(const at::Tensor& scores, const at::Tensor& targets);

// Computes with the parameters of `llama`, which must outlive it.
class EagerLlama {
 public:
  explicit EagerLlama(const Llama& llama) : llama_(llama) {}
  at::Tensor logits(const at::Tensor& tokens) const;
  at::Tensor loss(const at::Tensor& tokens, const at::Tensor& targets) const;

 private:
  at::Tensor block(const Block& block, const at::Tensor& x) const;
  const Llama& llama_;
};

}  // namespace thinwire::models

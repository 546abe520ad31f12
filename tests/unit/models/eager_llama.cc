#include "tests/unit/models/eager_llama.h"

#include <ATen/ATen.h>

namespace thinwire::models {

at::Tensor eager_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return at::rms_norm(x, weight.sizes(), weight, eps);
}

at::Tensor eager_swiglu(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

at::Tensor eager_rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const int64_t tokens = x.size(1), half = x.size(3) / 2;
  const auto rotated = at::cat({-x.narrow(3, half, half), x.narrow(3, 0, half)}, 3);
  return x * cos.narrow(0, 0, tokens).unsqueeze(1) + rotated * sin.narrow(0, 0, tokens).unsqueeze(1);
}

at::Tensor eager_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), {}, /*dropout_p=*/0.0,
                                          /*is_causal=*/true, /*scale=*/{}, /*enable_gqa=*/q.size(2) != k.size(2))
      .transpose(1, 2);
}

at::Tensor eager_cross_entropy(const at::Tensor& scores, const at::Tensor& targets) { return at::cross_entropy_loss(scores, targets); }

at::Tensor EagerLlama::block(const Block& b, const at::Tensor& x) const {
  const auto split = [&](const at::Tensor& y, int64_t heads) { return y.view({y.size(0), y.size(1), heads, y.size(2) / heads}); };
  const auto turned = [&](const at::Tensor& y, int64_t heads) {
    return eager_rotate(split(y, heads), llama_.rotary().cos, llama_.rotary().sin);
  };
  const auto to_attend = eager_rms_norm(x, b.attention_norm.weight, b.attention_norm.eps);
  const auto mixed =
      eager_attention(turned(b.q(to_attend), b.heads), turned(b.k(to_attend), b.kv_heads), split(b.v(to_attend), b.kv_heads));
  const auto h = x + b.o(mixed.reshape({x.size(0), x.size(1), b.o.weight.size(1)}));
  const auto normed = eager_rms_norm(h, b.mlp_norm.weight, b.mlp_norm.eps);
  return h + b.down(eager_swiglu(b.gate(normed), b.up(normed)));
}

at::Tensor EagerLlama::logits(const at::Tensor& tokens) const {
  auto hidden = llama_.embed(tokens);
  for (const auto& b : llama_.blocks()) hidden = block(b, hidden);
  return llama_.lm_head()(eager_rms_norm(hidden, llama_.final_norm().weight, llama_.final_norm().eps));
}

at::Tensor EagerLlama::loss(const at::Tensor& tokens, const at::Tensor& targets) const {
  const auto scores = logits(tokens);
  return eager_cross_entropy(scores.view({-1, scores.size(-1)}), targets.view({-1}));
}

}  // namespace thinwire::models

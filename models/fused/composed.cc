#include "models/fused/composed.h"

#include <ATen/ATen.h>

namespace thinwire::models::fused::composed {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) { return at::rms_norm(x, weight.sizes(), weight, eps); }

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto table = [&](const at::Tensor& of) { return of.narrow(0, 0, x.size(1)).unsqueeze(1).to(x.scalar_type()); };  // (T, 1, d)
  const auto halves = x.chunk(2, -1);
  return x * table(cos) + at::cat({-halves[1], halves[0]}, -1) * table(sin);
}

at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& targets) {
  return at::cross_entropy_loss(scores.to(at::kFloat), targets);
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto heads_first = [](const at::Tensor& x) {
    return x.transpose(1, 2);
  };  // (B, T, H, d) -> (B, H, T, d), as the operation wants it
  const bool grouped = q.size(2) != k.size(2);
  const auto mixed =
      at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), {}, /*dropout_p=*/0, /*is_causal=*/true,
                                       /*scale=*/{}, /*enable_gqa=*/grouped);
  return heads_first(mixed).contiguous();
}

}  // namespace thinwire::models::fused::composed

// Causal attention over whole sequences, with its gradients: one function beside those of functions.h, under the same terms.
#pragma once
#include <ATen/core/Tensor.h>

namespace thinwire::models::fused {

// softmax(q k^T / sqrt(d), over keys up to the query's position) v, by head: q (B, T, H, d), k and v (B, T, K, d) where K divides H and
// query head h uses key head h K / H; result (B, T, H, d). As at::scaled_dot_product_attention, whose heads come before the tokens. Keeps
// q, k, v, the result and a number per query; works in memory for 16 T floats per thread, or 32 T in backward, besides 2 T d.
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace thinwire::models::fused

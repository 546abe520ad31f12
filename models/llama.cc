#include "models/llama.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/check.h"
#include "models/fused/attention.h"
#include "models/fused/functions.h"

namespace thinwire::models {

Rotary::Rotary(int64_t context, int64_t head_dim, double theta) {
  cos = at::empty({context, head_dim}, at::kFloat);
  sin = at::empty({context, head_dim}, at::kFloat);
  float* c = cos.data_ptr<float>();
  float* s = sin.data_ptr<float>();
  const int64_t half = head_dim / 2;
  for (int64_t t = 0; t < context; ++t) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(t) * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      c[t * head_dim + i] = c[t * head_dim + half + i] = static_cast<float>(std::cos(angle));
      s[t * head_dim + i] = s[t * head_dim + half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

at::Tensor Rotary::operator()(const at::Tensor& x, int64_t first) const {
  if (first == 0) return fused::rotate(x, cos, sin);
  return fused::rotate(x, cos.narrow(0, first, x.size(1)), sin.narrow(0, first, x.size(1)));
}

namespace {

// One query q (1, 1, H, d) over keys and values (1, P, K, d), all of which it may see: softmax(q k^T / sqrt(d)) v by head.
at::Tensor attend_to_all(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values) {
  const int64_t kv_heads = keys.size(2), head_dim = q.size(3);
  const auto grouped = q.view({kv_heads, q.size(2) / kv_heads, head_dim});  // query head h uses key head h K / H
  const auto scores = at::matmul(grouped, keys[0].permute({1, 2, 0})) / std::sqrt(static_cast<double>(head_dim));
  return at::matmul(scores.softmax(-1), values[0].transpose(0, 1)).to(q.scalar_type()).reshape(q.sizes());
}

void append(at::Tensor& to, int64_t length, int64_t capacity, const at::Tensor& more) {
  if (!to.defined()) to = at::empty({1, capacity, more.size(2), more.size(3)}, more.options());
  to.narrow(1, length, more.size(1)).copy_(more);
}

}  // namespace

template <class Mix>
at::Tensor Block::pass(const at::Tensor& x, const Rotary& rotary, int64_t first, const Mix& mix) const {
  const auto split = [&](const at::Tensor& y, int64_t num_heads) {  // (B, T, H d) -> (B, T, H, d)
    return y.view({y.size(0), y.size(1), num_heads, y.size(2) / num_heads});
  };
  const auto [before, to_attend] = fused::with_norm(x, attention_norm.weight, attention_norm.eps);
  const auto mixed =
      mix(rotary(split(q(to_attend), heads), first), rotary(split(k(to_attend), kv_heads), first), split(v(to_attend), kv_heads));
  const auto attended = o(mixed.view({x.size(0), x.size(1), o.weight.size(1)}));
  const auto [h, normed] = fused::sum_with_norm(before, attended, mlp_norm.weight, mlp_norm.eps);
  return h + down(fused::swiglu(gate(normed), up(normed)));
}

at::Tensor Block::operator()(const at::Tensor& x, const Rotary& rotary) const { return pass(x, rotary, 0, fused::causal_attention); }

at::Tensor Block::after(KvCache::Layer& past, int64_t length, const at::Tensor& x, const Rotary& rotary) const {
  check(x.size(0) == 1 && (length == 0 || x.size(1) == 1), "tokens come one at a time once there are some");
  return pass(x, rotary, length, [&](const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
    const int64_t total = length + keys.size(1), capacity = rotary.cos.size(0);
    append(past.keys, length, capacity, keys);
    append(past.values, length, capacity, values);
    if (length == 0) return fused::causal_attention(queries, keys, values);
    return attend_to_all(queries, past.keys.narrow(1, 0, total), past.values.narrow(1, 0, total));
  });
}

Llama::Llama(const ModelOptions& options, int64_t vocab_size, std::optional<uint64_t> seed)
    : parameters_(seed), init_std_(options.init_std), context_(options.context) {
  const int64_t d = options.d_model, head_dim = d / options.heads, kv_heads = options.kv_heads.value_or(options.heads);
  const int64_t kv_width = kv_heads * head_dim, ffn = options.ffn_width();
  const double into_residual = 1 / std::sqrt(2.0 * static_cast<double>(options.layers));
  embedding_ = matrix("model.embed_tokens.weight", vocab_size, d);
  for (int64_t i = 0; i < options.layers; ++i) {
    const std::string at = "model.layers." + std::to_string(i) + ".";
    Block b;
    b.heads = options.heads;
    b.kv_heads = kv_heads;
    b.attention_norm = {ones(at + "input_layernorm.weight", d), options.norm_eps};
    b.q.weight = matrix(at + "self_attn.q_proj.weight", d, d);
    b.k.weight = matrix(at + "self_attn.k_proj.weight", kv_width, d);
    b.v.weight = matrix(at + "self_attn.v_proj.weight", kv_width, d);
    b.o.weight = matrix(at + "self_attn.o_proj.weight", d, d, into_residual);
    b.mlp_norm = {ones(at + "post_attention_layernorm.weight", d), options.norm_eps};
    b.gate.weight = matrix(at + "mlp.gate_proj.weight", ffn, d);
    b.up.weight = matrix(at + "mlp.up_proj.weight", ffn, d);
    b.down.weight = matrix(at + "mlp.down_proj.weight", d, ffn, into_residual);
    blocks_.push_back(std::move(b));
  }
  final_norm_ = {ones("model.norm.weight", d), options.norm_eps};
  lm_head_.weight = options.tie_embeddings ? embedding_ : matrix("lm_head.weight", vocab_size, d);
  if (seed) rotary_ = Rotary(context_, head_dim, options.rope_theta);
}

at::Tensor Llama::matrix(const std::string& name, int64_t rows, int64_t cols, double scale) {
  return parameters_.normal(name, {rows, cols}, scale * init_std_);
}

at::Tensor Llama::ones(const std::string& name, int64_t size) { return parameters_.constant(name, {size}, 1); }

void Llama::move_to(c10::Device device) {
  Model::move_to(device);
  rotary_.cos = rotary_.cos.to(device);
  rotary_.sin = rotary_.sin.to(device);
}

at::Tensor Llama::embed(const at::Tensor& tokens) const { return at::embedding(embedding_, tokens.to(embedding_.device())); }
at::Tensor Llama::head(const at::Tensor& hidden) const { return lm_head_(fused::rms_norm(hidden, final_norm_.weight, final_norm_.eps)); }

at::Tensor Llama::logits(const at::Tensor& tokens) const {
  auto hidden = embed(tokens);
  for (const auto& block : blocks_) hidden = block(hidden, rotary_);
  return head(hidden);
}

at::Tensor Llama::next_logits(const at::Tensor& tokens, KvCache& past) const {
  check(tokens.size(0) == 1 && past.length + tokens.size(1) <= context_, "one sequence, no longer than the context");
  past.layers.resize(blocks_.size());
  auto hidden = embed(tokens);
  for (size_t i = 0; i < blocks_.size(); ++i) hidden = blocks_[i].after(past.layers[i], past.length, hidden, rotary_);
  past.length += tokens.size(1);
  return head(hidden.narrow(1, hidden.size(1) - 1, 1)).view({-1});
}

}  // namespace thinwire::models

// The Llama architecture (Touvron et al., arXiv 2302.13971): RMSNorm before each half block, rotary positions, grouped-query attention,
// SwiGLU. Names, shapes and conventions are those of Hugging Face's LlamaForCausalLM (half-split rotary), so an export is a copy.
#pragma once
#include <optional>
#include <vector>

#include "models/kv_cache.h"
#include "models/model.h"
#include "models/parameters.h"
#include "models/projection.h"

namespace thinwire::models {

// Rotary tables (T, head_dim) for positions 0..T-1: the angle of pair i is position * theta^(-2i / head_dim); both halves carry it.
struct Rotary {
  Rotary() = default;
  Rotary(int64_t context, int64_t head_dim, double theta);
  // x (B, T, H, head_dim) at positions `first` ... turned by them: x cos + rotate_half(x) sin, rotate_half(a | b) = (-b | a).
  at::Tensor operator()(const at::Tensor& x, int64_t first = 0) const;
  at::Tensor cos, sin;
};

struct Norm {         // x / sqrt(mean(x^2) + eps) * weight
  at::Tensor weight;  // (D)
  double eps = 1e-5;
};

struct Block {
  Norm attention_norm, mlp_norm;
  Projection q, k, v, o, gate, up, down;
  int64_t heads = 1, kv_heads = 1;

  at::Tensor operator()(const at::Tensor& x, const Rotary& rotary) const;  // (B, T, D) -> (B, T, D)
  // The same for tokens that come after `length` others, whose keys and values `past` has; it gets those of x too. x (1, T, D); T is 1
  // unless length is 0.
  at::Tensor after(KvCache::Layer& past, int64_t length, const at::Tensor& x, const Rotary& rotary) const;

 private:
  // `mix` makes (B, T, H, d) of q (B, T, H, d), k and v (B, T, K, d), of which q and k are turned.
  template <class Mix>
  at::Tensor pass(const at::Tensor& x, const Rotary& rotary, int64_t first, const Mix& mix) const;
};

// The three parts are public because a pipeline puts them on different stages.
class Llama : public Model {
 public:
  Llama(const ModelOptions& options, int64_t vocab_size, std::optional<uint64_t> seed);  // without one: an outline (footprint.h)

  const std::vector<Parameter>& parameters() const override { return parameters_.all(); }
  void move_to(c10::Device device) override;
  int64_t context() const { return context_; }                 // longest T
  at::Tensor logits(const at::Tensor& tokens) const override;  // int64 (B, T) -> (B, T, V)
  at::Tensor next_logits(const at::Tensor& tokens, KvCache& past) const override;

  at::Tensor embed(const at::Tensor& tokens) const;  // (B, T) -> (B, T, D)
  const std::vector<Block>& blocks() const { return blocks_; }
  const Rotary& rotary() const { return rotary_; }
  const Norm& final_norm() const { return final_norm_; }
  const Projection& lm_head() const { return lm_head_; }
  at::Tensor head(const at::Tensor& hidden) const;  // (B, T, D) -> (B, T, V)

 private:
  // Normal with standard deviation scale * init_std. What writes into the residual stream, twice a block, has scale 1 / sqrt(2 layers), so
  // that the stream's variance does not grow with depth (GPT-2, Radford et al. 2019, section 2.3).
  at::Tensor matrix(const std::string& name, int64_t rows, int64_t cols, double scale = 1);
  at::Tensor ones(const std::string& name, int64_t size);

  Parameters parameters_;
  double init_std_;
  int64_t context_;
  at::Tensor embedding_;  // (V, D)
  std::vector<Block> blocks_;
  Norm final_norm_;
  Projection lm_head_;  // shares embedding_ when tied
  Rotary rotary_;
};

}  // namespace thinwire::models

// What the trainer asks of a model: named parameters and a loss. A model does not know that there is more than one process.
//
// Models are used by one thread. Parameters are leaf tensors with requires_grad, created once: nobody replaces them, state is copied in.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/section.h"

namespace thinwire::models {

struct Parameter {
  std::string name;    // as Hugging Face names it
  at::Tensor value;    // fp32, contiguous
  bool decays = true;  // weight decay applies: matrices, not norms
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<Parameter>& parameters() const = 0;  // in the order of the forward pass
  virtual int64_t context() const = 0;                           // longest T
  // tokens int64 (B, T) -> logits fp32 (B, T, V)
  virtual at::Tensor logits(const at::Tensor& tokens) const = 0;
  // Mean negative log-likelihood in nats of targets int64 (B, T) given tokens (B, T): a scalar.
  virtual at::Tensor loss(const at::Tensor& tokens, const at::Tensor& targets) const = 0;

  int64_t num_parameters() const;
};

struct ModelOptions {
  std::string type = "llama";
  int64_t d_model = 224;
  int64_t layers = 6;
  int64_t heads = 7;
  std::optional<int64_t> kv_heads;  // auto: heads
  std::optional<int64_t> ffn;       // auto: 8/3 d_model, rounded up to a multiple of 32
  int64_t context = 256;
  bool tie_embeddings = true;
  double rope_theta = 10000;
  double norm_eps = 1e-5;
  double init_std = 0.02;
};
void describe(config::Section& section, ModelOptions& options);

// Initial parameters are a function of (seed, name, element): the same on every rank and for every world size.
std::unique_ptr<Model> make_model(const ModelOptions& options, int64_t vocab_size, uint64_t seed);

}  // namespace thinwire::models

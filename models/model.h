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

struct KvCache;

struct Parameter {
  std::string name;    // as Hugging Face names it, or torchvision
  at::Tensor value;    // fp32, contiguous
  bool decays = true;  // weight decay applies: matrices and convolutions, not norms and biases
};

// Mean negative log-likelihood in nats of targets int64 (B, ...) given scores (B, ..., C): a scalar.
at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& targets);

// Everything here classifies: a language model says for each position which of the vocabulary comes next, an image model says what is seen.
class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<Parameter>& parameters() const = 0;  // in the order of the forward pass
  // Unnormalised log-probabilities fp32 of the classes: tokens int64 (B, T) -> (B, T, C), images fp32 (B, 1, H, W) -> (B, C).
  virtual at::Tensor logits(const at::Tensor& inputs) const = 0;
  // Of a language model: scores (V) of the token after those in `past` and then `tokens` int64 (1, T), which join it; T is 1 once there are
  // some. check: there is room for them in the context. To be called without gradients. Other models have none.
  virtual at::Tensor next_logits(const at::Tensor& tokens, KvCache& past) const;
  at::Tensor loss(const at::Tensor& inputs, const at::Tensor& targets) const { return cross_entropy(logits(inputs), targets); }

  int64_t num_parameters() const;
  c10::Device device() const { return parameters()[0].value.device(); }
  // Parameters stay the tensors that they are, with their memory elsewhere. Before anything refers to that memory. Inputs and targets may
  // be on the host nevertheless.
  virtual void move_to(c10::Device device);
};

struct ModelOptions {
  std::string type = "llama";  // llama: text; resnet: images
  bool sees_images() const { return type == "resnet"; }
  double norm_eps = 1e-5;

  // llama
  int64_t d_model = 224;
  int64_t layers = 6;
  int64_t heads = 7;
  std::optional<int64_t> kv_heads;  // auto: heads
  std::optional<int64_t> ffn;       // auto: 8/3 d_model, rounded up to a multiple of 32
  int64_t ffn_width() const { return ffn.value_or((8 * d_model / 3 + 31) / 32 * 32); }
  std::optional<int64_t> vocab;     // auto: the tokenizer's
  std::string init;                 // where initial weights come from; empty: drawn from the seed
  int64_t context = 256;
  bool tie_embeddings = true;
  double rope_theta = 10000;
  double init_std = 0.02;

  // resnet
  int64_t width = 16;  // channels of the first stage; each further stage doubles them
  int64_t stages = 3;
  int64_t blocks = 1;  // per stage
  int64_t groups = 8;  // of channels, for group normalisation
};
void describe(config::Section& section, ModelOptions& options);

// Initial parameters are a function of (seed, name, element): the same on every rank and for every world size.
// num_classes: values that a target can have, which are the vocabulary or the labels.
std::unique_ptr<Model> make_model(const ModelOptions& options, int64_t num_classes, uint64_t seed);

}  // namespace thinwire::models

// What turns gradients into new parameters, with LibTorch's fused kernels; the learning-rate schedule, and clipping by the global norm.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/model.h"
#include "trainer/options.h"

namespace thinwire::trainer {

// Learning rate of step 1..run_steps: linear to lr over the warm-up, then cosine to final_lr * lr at the last step, or constant.
double learning_rate(const OptimOptions& options, int64_t step, int64_t run_steps, int64_t tokens_per_step);

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Applies parameter.grad(), which must be defined. `step` counts from 1.
  virtual void step(int64_t step, double lr) = 0;

  // What it remembers: under one name, a tensor of each parameter's shape, in the order given. Checkpoints keep it as
  // optim/<name>/<parameter>.
  struct Memory {
    std::string name;
    std::vector<at::Tensor> of_parameter;
  };
  const std::vector<Memory>& memory() const { return memory_; }

 protected:
  // What the fused kernels take at once: the parameters that decay, or the others.
  struct Group {
    std::vector<at::Tensor> values;               // share memory with the parameters, and are no leaves that autograd guards
    std::vector<at::Tensor> owners;               // the parameters, which have the gradients
    std::vector<std::vector<at::Tensor>> memory;  // by name, as below
    double weight_decay = 0;
    std::vector<at::Tensor> gradients() const;  // as they are now: a new plan may have moved them
  };
  // Remembers something under each of `names`, all zero at first.
  Optimizer(const std::vector<std::string>& names, const std::vector<models::Parameter>& parameters, double weight_decay);

  std::vector<Group> groups_;  // none is empty
  std::vector<Memory> memory_;
};

// By options.name, over these parameters; those that do not decay have a weight decay of 0.
//   adamw  decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2), bias correction by the step number
//   sgd    g += weight_decay * w;  u = momentum * u + g;  w -= lr * u, or lr * (g + momentum * u) with nesterov: PyTorch's form of
//          Polyak's momentum and of Sutskever et al., ICML 2013
std::unique_ptr<Optimizer> make_optimizer(const OptimOptions& options, const std::vector<models::Parameter>& parameters);

// Scales the flat gradients so that their norm is at most `limit` (0: never); returns the norm before. On the host in double, in one
// order; on a device in the order and the precision of its own sums.
double clip_global_norm(std::span<float> gradients, double limit);
double clip_global_norm(const at::Tensor& gradients, double limit);

}  // namespace thinwire::trainer

// AdamW with LibTorch's fused kernel, the learning-rate schedule, and clipping by the global norm.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "models/model.h"
#include "trainer/options.h"

namespace thinwire::trainer {

// Learning rate of step 1..run_steps: linear to lr over the warm-up, then cosine to final_lr * lr at the last step, or constant.
double learning_rate(const OptimOptions& options, int64_t step, int64_t run_steps, int64_t tokens_per_step);

// Decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), bias correction by the step number, fp32 state.
class AdamW {
 public:
  AdamW(const OptimOptions& options, const std::vector<models::Parameter>& parameters);
  // Applies parameter.grad(), which must be defined. `step` counts from 1.
  void step(int64_t step, double lr);

  struct Moments {  // of parameter i, in the order given
    at::Tensor first, second;
  };
  const std::vector<Moments>& moments() const { return moments_; }

 private:
  struct Group {
    std::vector<at::Tensor> parameters, owners, first, second, steps;  // parameters share the memory of owners, which have the gradients
    double weight_decay;
  };
  OptimOptions options_;
  std::vector<Moments> moments_;
  std::vector<Group> groups_;  // with and without weight decay
};

// Scales the flat gradients so that their norm is at most `limit` (0: never); returns the norm before. In double, in one order.
double clip_global_norm(std::span<float> gradients, double limit);

}  // namespace thinwire::trainer

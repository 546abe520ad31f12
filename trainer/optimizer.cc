#include "trainer/optimizer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "compressors/dense_kernels.h"

namespace thinwire::trainer {

double learning_rate(const OptimOptions& o, int64_t step, int64_t run_steps, int64_t tokens_per_step) {
  const int64_t warmup = std::min(o.warmup.to_steps(run_steps, tokens_per_step), run_steps);
  if (step <= warmup) return o.lr * static_cast<double>(step) / static_cast<double>(warmup);
  if (o.schedule == "constant" || run_steps == warmup) return o.lr;
  const double progress = static_cast<double>(step - warmup) / static_cast<double>(run_steps - warmup);
  return o.lr * (o.final_lr + (1 - o.final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

Optimizer::Optimizer(const std::vector<std::string>& names, const std::vector<models::Parameter>& parameters, double weight_decay) {
  for (const auto& name : names) memory_.push_back({name, {}});
  for (const bool decays : {true, false}) {
    groups_.push_back({{}, {}, std::vector<std::vector<at::Tensor>>(names.size()), decays ? weight_decay : 0.0});
  }
  for (const auto& parameter : parameters) {
    Group& group = groups_[parameter.decays ? 0 : 1];
    group.values.push_back(parameter.value.detach());
    group.owners.push_back(parameter.value);
    for (size_t m = 0; m < names.size(); ++m) {
      memory_[m].of_parameter.push_back(at::zeros_like(group.values.back()));
      group.memory[m].push_back(memory_[m].of_parameter.back());
    }
  }
  std::erase_if(groups_, [](const Group& group) { return group.values.empty(); });
}

std::vector<at::Tensor> Optimizer::Group::gradients() const {
  std::vector<at::Tensor> now;
  for (const auto& owner : owners) now.push_back(owner.grad());
  return now;
}

namespace {

class AdamW final : public Optimizer {
 public:
  AdamW(const OptimOptions& options, const std::vector<models::Parameter>& parameters)
      : Optimizer({"exp_avg", "exp_avg_sq"}, parameters, options.weight_decay), options_(options) {}

  void step(int64_t step, double lr) override {
    for (const Group& group : groups_) {
      const at::Tensor count = at::full({}, static_cast<double>(step), group.values[0].options().requires_grad(false));
      const std::vector<at::Tensor> counts(group.values.size(), count);
      at::_fused_adamw_(group.values, group.gradients(), group.memory[0], group.memory[1], {}, counts, lr, options_.betas[0],
                        options_.betas[1], group.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false, {}, {});
    }
  }

 private:
  OptimOptions options_;
};

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimOptions& options, const std::vector<models::Parameter>& parameters)
      : Optimizer(options.momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>(), parameters,
                  options.weight_decay),
        options_(options) {}

  void step(int64_t, double lr) override {
    for (const Group& group : groups_) {
      const auto momentum = group.memory.empty() ? std::vector<at::Tensor>() : group.memory[0];
      at::_fused_sgd_(group.values, group.gradients(), momentum, group.weight_decay, options_.momentum, lr, /*dampening=*/0,
                      options_.nesterov, /*maximize=*/false, /*is_first_step=*/false, {}, {});  // from 0, the first step is like any other
    }
  }

 private:
  OptimOptions options_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimOptions& options, const std::vector<models::Parameter>& parameters) {
  if (options.name == "sgd") return std::make_unique<Sgd>(options, parameters);
  return std::make_unique<AdamW>(options, parameters);
}

double clip_global_norm(std::span<float> gradients, double limit) {
  const double norm = std::sqrt(compressors::dense_kernels::square_sum(gradients));
  if (limit > 0 && norm > limit) {
    const auto scale = static_cast<float>(limit / norm);
    for (float& g : gradients) g *= scale;
  }
  return norm;
}

double clip_global_norm(const at::Tensor& gradients, double limit) {
  const double norm = at::linalg_vector_norm(gradients).item<double>();
  if (limit > 0 && norm > limit) gradients.mul_(limit / norm);
  return norm;
}

}  // namespace thinwire::trainer

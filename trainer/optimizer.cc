#include "trainer/optimizer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace thinwire::trainer {

double learning_rate(const OptimOptions& o, int64_t step, int64_t run_steps, int64_t tokens_per_step) {
  const int64_t warmup = std::min(o.warmup.to_steps(run_steps, tokens_per_step), run_steps);
  if (step <= warmup) return o.lr * static_cast<double>(step) / static_cast<double>(warmup);
  if (o.schedule == "constant" || run_steps == warmup) return o.lr;
  const double progress = static_cast<double>(step - warmup) / static_cast<double>(run_steps - warmup);
  return o.lr * (o.final_lr + (1 - o.final_lr) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

Optimizer::Optimizer(const std::vector<std::string>& names, const std::vector<models::Parameter>& parameters) : parameters_(parameters) {
  for (const auto& name : names) {
    memory_.push_back({name, {}});
    for (const auto& parameter : parameters) memory_.back().of_parameter.push_back(at::zeros_like(parameter.value.detach()));
  }
}

std::vector<std::vector<size_t>> Optimizer::groups_by_decay() const {
  std::vector<std::vector<size_t>> groups(2);
  for (size_t i = 0; i < parameters_.size(); ++i) groups[parameters_[i].decays ? 0 : 1].push_back(i);
  std::erase_if(groups, [](const auto& group) { return group.empty(); });
  return groups;
}

namespace {

std::vector<at::Tensor> chosen(const std::vector<at::Tensor>& tensors, const std::vector<size_t>& indices) {
  std::vector<at::Tensor> some;
  for (const size_t i : indices) some.push_back(tensors[i]);
  return some;
}

// What the fused kernels want of a group, beside what is remembered. Values share memory and are no leaves that autograd guards;
// gradients are looked up at every step, since a new plan may have moved them.
struct Operands {
  std::vector<at::Tensor> values, gradients;
  double weight_decay;
};
Operands operands(const std::vector<models::Parameter>& parameters, const std::vector<size_t>& group, const OptimOptions& options) {
  Operands found{{}, {}, parameters[group.front()].decays ? options.weight_decay : 0.0};
  for (const size_t i : group) {
    found.values.push_back(parameters[i].value.detach());
    found.gradients.push_back(parameters[i].value.grad());
  }
  return found;
}

class AdamW final : public Optimizer {
 public:
  AdamW(const OptimOptions& options, const std::vector<models::Parameter>& parameters)
      : Optimizer({"exp_avg", "exp_avg_sq"}, parameters), options_(options) {}

  void step(int64_t step, double lr) override {
    for (const auto& group : groups_by_decay()) {
      const auto [values, gradients, weight_decay] = operands(parameters_, group, options_);
      const auto first = chosen(memory_[0].of_parameter, group), second = chosen(memory_[1].of_parameter, group);
      const std::vector<at::Tensor> steps(group.size(), at::full({}, static_cast<double>(step), at::kFloat));
      at::_fused_adamw_(values, gradients, first, second, {}, steps, lr, options_.betas[0], options_.betas[1], weight_decay, options_.eps,
                        /*amsgrad=*/false, /*maximize=*/false, {}, {});
    }
  }

 private:
  OptimOptions options_;
};

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimOptions& options, const std::vector<models::Parameter>& parameters)
      : Optimizer(options.momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>(), parameters),
        options_(options) {}

  void step(int64_t, double lr) override {
    for (const auto& group : groups_by_decay()) {
      const auto [values, gradients, weight_decay] = operands(parameters_, group, options_);
      const auto momentum = memory_.empty() ? std::vector<at::Tensor>() : chosen(memory_[0].of_parameter, group);
      at::_fused_sgd_(values, gradients, momentum, weight_decay, options_.momentum, lr, /*dampening=*/0, options_.nesterov,
                      /*maximize=*/false, /*is_first_step=*/false, {}, {});  // from 0, the first step is like any other
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
  // Four partial sums: the compiler may then use wide registers without changing the order of additions.
  double sums[4] = {0, 0, 0, 0};
  size_t i = 0;
  for (; i + 4 <= gradients.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) {
      const double g = gradients[i + lane];
      sums[lane] += g * g;
    }
  }
  for (; i < gradients.size(); ++i) sums[0] += static_cast<double>(gradients[i]) * gradients[i];
  const double norm = std::sqrt(sums[0] + sums[1] + sums[2] + sums[3]);
  if (limit > 0 && norm > limit) {
    const auto scale = static_cast<float>(limit / norm);
    for (float& g : gradients) g *= scale;
  }
  return norm;
}

}  // namespace thinwire::trainer

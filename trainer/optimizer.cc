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

AdamW::AdamW(const OptimOptions& options, const std::vector<models::Parameter>& parameters) : options_(options) {
  groups_.push_back({{}, {}, {}, {}, {}, options.weight_decay});
  groups_.push_back({{}, {}, {}, {}, {}, 0.0});
  for (const auto& parameter : parameters) {
    const Moments m{at::zeros_like(parameter.value.detach()), at::zeros_like(parameter.value.detach())};
    moments_.push_back(m);
    Group& group = groups_[parameter.decays ? 0 : 1];
    group.parameters.push_back(parameter.value.detach());  // shares memory, and is no leaf that autograd guards
    group.owners.push_back(parameter.value);
    group.first.push_back(m.first);
    group.second.push_back(m.second);
    group.steps.push_back(at::zeros({}, at::kFloat));
  }
}

void AdamW::step(int64_t step, double lr) {
  for (auto& group : groups_) {
    if (group.parameters.empty()) continue;
    for (auto& count : group.steps) count.fill_(static_cast<double>(step));
    std::vector<at::Tensor> gradients;
    for (const auto& owner : group.owners) gradients.push_back(owner.grad());  // a new plan may have moved them
    at::_fused_adamw_(group.parameters, gradients, group.first, group.second, {}, group.steps, lr, options_.betas[0], options_.betas[1],
                      group.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false, {}, {});
  }
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

#include "exchange/local_steps/local_steps.h"

#include <algorithm>

namespace thinwire::exchange {

LocalSteps::LocalSteps(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters)
    : Schedule(exchange), outer_(options.outer), every_(static_cast<uint64_t>(options.every)), parameters_(std::move(parameters)) {
  check(parameters_.size() == exchange.table().slots().size(), "there is one parameter per slot");
  for (const auto& parameter : parameters_) {
    anchors_.emplace_back(parameter.begin(), parameter.end());
    if (outer_.name == "nesterov") momenta_.emplace_back(parameter.size(), 0.0f);
  }
}

void LocalSteps::begin_step(const StepPlan& plan) {
  plan_ = plan;
  const auto gradients = exchange_.flat();
  std::fill(gradients.begin(), gradients.end(), 0.0f);
}

void LocalSteps::reduce() {
  if (plan_.micro_batches == 1) return;
  const float scale = 1.0f / static_cast<float>(plan_.micro_batches);
  for (float& g : exchange_.flat()) g *= scale;
}

void LocalSteps::end_step() {
  exchanged_ = plan_.step % every_ == 0 || plan_.last;
  if (!exchanged_) return;
  exchange_.begin({plan_.step, 1.0f, plan_.dense});
  for (Slot slot = static_cast<Slot>(parameters_.size()); slot-- > 0;) {  // in the order in which buckets fill
    const auto drift = exchange_.values(slot);
    for (size_t i = 0; i < drift.size(); ++i) drift[i] = anchors_[slot][i] - parameters_[slot][i];
    exchange_.ready(slot);
  }
  exchange_.finish();
  for (Slot slot = 0; slot < parameters_.size(); ++slot) apply_outer(slot);
}

void LocalSteps::apply_outer(Slot slot) {
  const auto mean = exchange_.values(slot);
  auto& anchor = anchors_[slot];
  const float lr = static_cast<float>(outer_.lr), mu = static_cast<float>(outer_.momentum);
  for (size_t i = 0; i < mean.size(); ++i) {
    float update = mean[i];
    if (!momenta_.empty()) {
      float& m = momenta_[slot][i];
      m = mu * m + mean[i];
      update = mean[i] + mu * m;
    }
    anchor[i] -= lr * update;
  }
  std::copy(anchor.begin(), anchor.end(), parameters_[slot].begin());
}

std::vector<StatePiece> LocalSteps::state() {
  std::vector<StatePiece> state;
  const auto add = [&state](std::string name, Slot slot, std::vector<float>& values) {
    state.push_back(
        {.name = std::move(name), .slot = slot, .same_on_all_ranks = true, .memory = std::as_writable_bytes(std::span(values))});
  };
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    const std::string& name = exchange_.table().slots()[slot].name;
    add("anchor/" + name, slot, anchors_[slot]);
    if (!momenta_.empty()) add("outer_momentum/" + name, slot, momenta_[slot]);
  }
  return state;
}

}  // namespace thinwire::exchange

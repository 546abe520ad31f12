#include "exchange/local_steps/local_steps.h"

#include <algorithm>

namespace thinwire::exchange {

LocalSteps::LocalSteps(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters, Residence* residence)
    : Schedule(exchange, residence),
      outer_(options.outer),
      every_(static_cast<uint64_t>(options.every)),
      delay_(static_cast<uint64_t>(options.delay)),
      parameters_(std::move(parameters)),
      begun_(exchange.table().num_fragments(), 0) {
  check(parameters_.size() == exchange.table().slots().size(), "there is one parameter per slot");
  check(delay_ <= every_ && begun_.size() <= every_, "a fragment has one round at a time");
  if (delay_ > 0 && residence_ == nullptr) gradients_.resize(exchange.table().total_elems());
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    if (residence_ != nullptr) residence_->fetch_parameters(slot);
    const auto parameter = parameters_[slot];
    anchors_.emplace_back(parameter.begin(), parameter.end());
    if (outer_.name == "nesterov") momenta_.emplace_back(parameter.size(), 0.0f);
    if (delay_ > 0) departed_.emplace_back(parameter.begin(), parameter.end());
  }
}

std::span<float> LocalSteps::gradients() { return delay_ > 0 ? std::span(gradients_) : exchange_.flat(); }

void LocalSteps::begin_step(const StepPlan& plan) {
  plan_ = plan;
  zero_gradients();
}

void LocalSteps::reduce() {
  if (plan_.micro_batches == 1) return;
  const float scale = 1.0f / static_cast<float>(plan_.micro_batches);
  if (residence_ != nullptr) return residence_->scale_gradients(scale);
  for (float& g : gradients()) g *= scale;
}

// Fragment f of F begins its rounds at the steps that leave (f + 1) every / F when divided by `every`: the last one, or the only one, at
// multiples of it.
bool LocalSteps::is_due(uint32_t fragment) const { return plan_.step % every_ == (fragment + 1) * every_ / begun_.size() % every_; }

void LocalSteps::end_step() {
  exchanged_ = false;
  for (uint32_t f = 0; f < begun_.size(); ++f) {
    const bool has_arrived = begun_[f] != 0 && plan_.step >= static_cast<uint64_t>(begun_[f]) + delay_;
    if (has_arrived || (begun_[f] != 0 && plan_.last)) end_round(f);
  }
  for (uint32_t f = 0; f < begun_.size(); ++f) {
    if (is_due(f) || plan_.last) begin_round(f);
  }
  if (delay_ == 0 || plan_.last) settle();
}

void LocalSteps::settle() {
  for (uint32_t f = 0; f < begun_.size(); ++f) {
    if (begun_[f] != 0) end_round(f);
  }
}

void LocalSteps::begin_round(uint32_t fragment) {
  exchange_.begin({plan_.step, 1.0f, plan_.dense}, fragment);
  for (Slot slot = static_cast<Slot>(parameters_.size()); slot-- > 0;) {  // in the order in which buckets fill
    if (exchange_.table().slots()[slot].fragment != fragment) continue;
    if (residence_ != nullptr) residence_->fetch_parameters(slot);
    const auto drift = exchange_.values(slot);
    for (size_t i = 0; i < drift.size(); ++i) drift[i] = anchors_[slot][i] - parameters_[slot][i];
    if (delay_ > 0) std::ranges::copy(parameters_[slot], departed_[slot].begin());
    exchange_.ready(slot);
  }
  begun_[fragment] = static_cast<int64_t>(plan_.step);
}

void LocalSteps::end_round(uint32_t fragment) {
  if (!exchange_.is_open(fragment)) exchange_.reopen(fragment);  // it was under way when the run was stopped
  exchange_.finish(fragment);
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    if (exchange_.table().slots()[slot].fragment == fragment) apply_outer(slot);
  }
  begun_[fragment] = 0;
  exchanged_ = true;
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
  follow_anchor(slot);
}

void LocalSteps::follow_anchor(Slot slot) {
  const auto parameter = parameters_[slot];
  const auto& anchor = anchors_[slot];
  const bool has_gone_on = delay_ > 0 && plan_.step > static_cast<uint64_t>(begun_[exchange_.table().slots()[slot].fragment]);
  if (has_gone_on) {
    if (residence_ != nullptr) residence_->fetch_parameters(slot);
    for (size_t i = 0; i < parameter.size(); ++i) parameter[i] += anchor[i] - departed_[slot][i];
  } else {  // the same bits on all ranks, which the sum above would not give
    std::ranges::copy(anchor, parameter.begin());
  }
  if (residence_ != nullptr) residence_->store_parameters(slot);
}

bool LocalSteps::replicas_agree() const {
  return exchange_.driver().size() == 1 || plan_.step == 0 || plan_.last || (exchanged_ && delay_ == 0 && begun_.size() == 1);
}

std::vector<StatePiece> LocalSteps::agreed() {
  std::vector<StatePiece> pieces;
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    const std::string& name = exchange_.table().slots()[slot].name;
    const auto add = [&](const char* what, std::vector<float>& values) {
      pieces.push_back({.name = what + name, .slot = slot, .same_on_all_ranks = true, .memory = std::as_writable_bytes(std::span(values))});
    };
    add("anchor/", anchors_[slot]);
    if (!momenta_.empty()) add("outer_momentum/", momenta_[slot]);
  }
  return pieces;
}

std::vector<StatePiece> LocalSteps::state() {
  std::vector<StatePiece> pieces = agreed();
  if (delay_ == 0) return pieces;
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    const std::string& name = exchange_.table().slots()[slot].name;
    pieces.push_back({.name = "departed/" + name, .slot = slot, .memory = std::as_writable_bytes(std::span(departed_[slot]))});
    pieces.push_back(
        {.name = "arrived/" + name, .slot = slot, .same_on_all_ranks = true, .memory = std::as_writable_bytes(exchange_.values(slot))});
  }
  pieces.push_back({.name = "rounds_under_way",
                    .slot_shaped = false,
                    .same_on_all_ranks = true,
                    .dtype = DType::i64,
                    .memory = std::as_writable_bytes(std::span(begun_))});
  return pieces;
}

}  // namespace thinwire::exchange

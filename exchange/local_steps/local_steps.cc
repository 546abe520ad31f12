#include "exchange/local_steps/local_steps.h"

#include <algorithm>

namespace thinwire::exchange {

LocalSteps::LocalSteps(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters)
    : Schedule(exchange),
      outer_(options.outer),
      every_(static_cast<uint64_t>(options.every)),
      delay_(static_cast<uint64_t>(options.delay)),
      parameters_(std::move(parameters)),
      begun_(exchange.table().num_fragments(), 0) {
  check(parameters_.size() == exchange.table().slots().size(), "there is one parameter per slot");
  check(delay_ <= every_ && begun_.size() <= every_, "a fragment has one round at a time");
  if (delay_ > 0) gradients_ = Array(residence(), exchange.table().total_elems());
  for (const auto parameter : parameters_) {
    residence().copy(anchors_.emplace_back(residence(), parameter.size()).data(), parameter);
    if (outer_.name == "nesterov") momenta_.emplace_back(residence(), parameter.size());
    if (delay_ > 0) residence().copy(departed_.emplace_back(residence(), parameter.size()).data(), parameter);
  }
}

std::span<float> LocalSteps::gradients() { return delay_ > 0 ? gradients_.span() : exchange_.flat(); }

void LocalSteps::begin_step(const StepPlan& plan) {
  plan_ = plan;
  residence().zero(gradients());
}

void LocalSteps::reduce() {
  if (plan_.micro_batches == 1) return;
  residence().scale(gradients(), 1.0f / static_cast<float>(plan_.micro_batches));
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
    for_each_block(slot, [&](size_t at, size_t elems) {
      residence().subtract(exchange_.values(slot).subspan(at, elems), anchors_[slot].data() + at, parameters_[slot].data() + at);
      if (delay_ > 0) residence().copy(departed_[slot].data() + at, parameters_[slot].subspan(at, elems));
    });
    exchange_.ready(slot);
  }
  begun_[fragment] = static_cast<int64_t>(plan_.step);
}

void LocalSteps::end_round(uint32_t fragment) {
  if (!exchange_.is_open(fragment)) exchange_.reopen(fragment);  // it was under way when the run was stopped
  exchange_.finish(fragment);
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    if (exchange_.table().slots()[slot].fragment != fragment) continue;
    for_each_block(slot, [&](size_t at, size_t elems) { apply_outer(slot, at, elems); });
  }
  begun_[fragment] = 0;
  exchanged_ = true;
}

// visit(begin, elems): of the slot's numbers, so that on the host a second pass over a block finds it in the cache.
template <class Visit>
void LocalSteps::for_each_block(Slot slot, Visit&& visit) {
  constexpr size_t kBlockElems = 8192;
  const size_t elems = parameters_[slot].size(), block = residence().is_host() ? kBlockElems : elems;
  for (size_t at = 0; at < elems; at += block) visit(at, std::min(block, elems - at));
}

void LocalSteps::apply_outer(Slot slot, size_t at, size_t elems) {
  const OuterRule rule{static_cast<float>(outer_.lr), static_cast<float>(outer_.momentum)};
  const auto anchor = anchors_[slot].span().subspan(at, elems), parameter = parameters_[slot].subspan(at, elems);
  residence().apply_outer(anchor, exchange_.values(slot).data() + at, momenta_.empty() ? nullptr : momenta_[slot].data() + at, rule);
  const bool has_gone_on = delay_ > 0 && plan_.step > static_cast<uint64_t>(begun_[exchange_.table().slots()[slot].fragment]);
  if (has_gone_on)
    residence().follow(parameter, anchor.data(), departed_[slot].data() + at);
  else  // the same bits on all ranks, which the sum above would not give
    residence().copy(parameter.data(), anchor);
}

bool LocalSteps::replicas_agree() const {
  return exchange_.driver().size() == 1 || plan_.step == 0 || plan_.last || (exchanged_ && delay_ == 0 && begun_.size() == 1);
}

std::vector<StatePiece> LocalSteps::agreed() {
  residence().finish();
  std::vector<StatePiece> pieces;
  for (Slot slot = 0; slot < parameters_.size(); ++slot) {
    const std::string& name = exchange_.table().slots()[slot].name;
    const auto add = [&](const char* what, const Array& values) {
      pieces.push_back({.name = what + name,
                        .slot = slot,
                        .same_on_all_ranks = true,
                        .memory = std::as_writable_bytes(values.span()),
                        .home = &residence()});
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
    pieces.push_back(
        {.name = "departed/" + name, .slot = slot, .memory = std::as_writable_bytes(departed_[slot].span()), .home = &residence()});
    pieces.push_back({.name = "arrived/" + name,
                      .slot = slot,
                      .same_on_all_ranks = true,
                      .memory = std::as_writable_bytes(exchange_.values(slot)),
                      .home = &residence()});
  }
  pieces.push_back({.name = "rounds_under_way",
                    .slot_shaped = false,
                    .same_on_all_ranks = true,
                    .dtype = DType::i64,
                    .memory = std::as_writable_bytes(std::span(begun_))});
  return pieces;
}

}  // namespace thinwire::exchange

#include "exchange/feedback/estimates.h"

#include <algorithm>
#include <cmath>

namespace thinwire::exchange {

Estimates::Estimates(const SlotTable& table, Policy policy)
    : table_(table),
      policy_(std::move(policy)),
      estimate_(table.total_elems(), 0.0f),
      mean_(table.total_elems(), 0.0f),
      started_(table.slots().size(), 0) {
  if (policy_.momentum) momentum_.assign(table.total_elems(), 0.0f);
  if (policy_.integrates) residual_.assign(table.total_elems(), 0.0f);
}

void Estimates::note_started(size_t begin, size_t elems) {
  table_.for_each_slot(begin, elems, [&](Slot slot, size_t, size_t) { started_[slot] = 1; });
}

bool Estimates::needs_dense_round(Slot slot) const {
  return policy_.dense_start && started_[slot] == 0 && table_.slots()[slot].elems() > 0;
}

Estimates::Next Estimates::next(size_t i, float g, float eta) const {
  const float v = policy_.momentum ? (1 - policy_.beta) * momentum_[i] + policy_.beta * g : g;
  const float change = v - estimate_[i];
  if (!policy_.integrates) return {v, change, 0};
  const float sum = residual_[i] + change;
  // A residual that overflows is refused like a message that does: the codec names what it is given.
  const float encoded = eta == 0 ? change : eta * residual_[i] + change;
  return {v, std::isfinite(sum) ? encoded : sum, sum};
}

void Estimates::open(OpenRange& range, std::span<float> x) {
  if (policy_.momentum) range.momentum.resize(x.size());
  if (policy_.integrates) range.residual.resize(x.size());
  table_.for_each_slot(range.begin, x.size(), [&](Slot slot, size_t from, size_t to) {
    const float eta = policy_.integrates ? policy_.eta[slot] : 0;
    for (size_t i = from; i < to; ++i) {
      const size_t at = i - range.begin;
      const Next made = next(i, range.scale * x[at], eta);
      if (policy_.momentum) range.momentum[at] = made.momentum;
      if (policy_.integrates) range.residual[at] = made.residual;
      x[at] = made.encoded;
    }
  });
}

void Estimates::sent(OpenRange& range, size_t elems, std::span<const float> decoded) {
  const size_t begin = range.begin;
  for (size_t i = 0; i < elems; ++i) estimate_[begin + i] += decoded[i];
  if (policy_.momentum) std::ranges::copy(range.momentum, momentum_.begin() + static_cast<std::ptrdiff_t>(begin));
  if (policy_.integrates) {
    for (size_t i = 0; i < elems; ++i) residual_[begin + i] = range.residual[i] - decoded[i];
  }
  note_started(begin, elems);
}

void Estimates::received(OpenRange& range, std::span<float> mean) {
  for (size_t i = 0; i < mean.size(); ++i) {
    mean_[range.begin + i] += mean[i];
    mean[i] = mean_[range.begin + i];
  }
}

void Estimates::dense(OpenRange& range, std::span<const float> x) {
  range.estimate.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) range.estimate[i] = range.scale * x[i];
}

void Estimates::dense_received(OpenRange& range, std::span<const float> mean) {
  const auto at = static_cast<std::ptrdiff_t>(range.begin);
  std::ranges::copy(range.estimate, estimate_.begin() + at);
  if (policy_.momentum) std::ranges::copy(range.estimate, momentum_.begin() + at);
  std::ranges::copy(mean, mean_.begin() + at);
  note_started(range.begin, mean.size());
}

// H lacks what is owed; taking it off the estimates makes them agree again, and the next round sends it.
void Estimates::take_back(size_t begin, std::span<const float> owed) {
  for (size_t i = 0; i < owed.size(); ++i) estimate_[begin + i] -= owed[i];
}

std::span<float> Estimates::of(std::vector<float>& flat, Slot slot) {
  return std::span(flat).subspan(table_.offset(slot), table_.slots()[slot].elems());
}

std::span<float> Estimates::residual(Slot slot, std::vector<float>&) {
  return policy_.integrates ? of(residual_, slot) : std::span<float>();
}

std::vector<StatePiece> Estimates::state(Slot slot) {
  const std::string& name = table_.slots()[slot].name;
  const auto piece = [&](const char* what, std::vector<float>& flat, bool same) {
    return StatePiece{
        .name = what + ("/" + name), .slot = slot, .same_on_all_ranks = same, .memory = std::as_writable_bytes(of(flat, slot))};
  };
  std::vector<StatePiece> pieces{piece("estimate", estimate_, false), piece("mean_estimate", mean_, true)};
  if (policy_.momentum) pieces.push_back(piece("feedback_momentum", momentum_, false));
  if (policy_.integrates) pieces.push_back(piece("residual", residual_, false));
  pieces.push_back({.name = "estimate_started/" + name,
                    .slot = slot,
                    .slot_shaped = false,
                    .same_on_all_ranks = true,
                    .dtype = DType::i64,
                    .memory = std::as_writable_bytes(std::span(&started_[slot], 1))});
  return pieces;
}

}  // namespace thinwire::exchange

#include "exchange/feedback/estimates.h"

#include <algorithm>
#include <cmath>

namespace thinwire::exchange {

Estimates::Estimates(const SlotTable& table, Policy policy)
    : table_(table), policy_(std::move(policy)), estimate_(table.total_elems(), 0.0f), mean_(table.total_elems(), 0.0f) {
  if (policy_.momentum) momentum_.assign(table.total_elems(), 0.0f);
  if (policy_.integrates) residual_.assign(table.total_elems(), 0.0f);
}

// Ranges of one eta: slots, or all at once where there is none.
template <class F>
void Estimates::for_each_range(size_t begin, size_t elems, F&& visit) const {
  if (!policy_.integrates) return visit(begin, begin + elems, 0.0f);
  for (Slot slot = 0; slot < table_.slots().size(); ++slot) {
    const size_t at = table_.offset(slot), end = at + table_.slots()[slot].elems();
    if (at >= begin && end <= begin + elems) visit(at, end, policy_.eta[slot]);
  }
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

void Estimates::open(size_t begin, std::span<float> x, float scale) {
  if (policy_.momentum) open_momentum_.resize(x.size());
  if (policy_.integrates) open_residual_.resize(x.size());
  for_each_range(begin, x.size(), [&](size_t from, size_t to, float eta) {
    for (size_t i = from; i < to; ++i) {
      const Next made = next(i, scale * x[i - begin], eta);
      if (policy_.momentum) open_momentum_[i - begin] = made.momentum;
      if (policy_.integrates) open_residual_[i - begin] = made.residual;
      x[i - begin] = made.encoded;
    }
  });
}

void Estimates::sent(size_t begin, size_t elems, std::span<const float> decoded) {
  for (size_t i = 0; i < elems; ++i) estimate_[begin + i] += decoded[i];
  if (policy_.momentum) std::ranges::copy(open_momentum_, momentum_.begin() + static_cast<std::ptrdiff_t>(begin));
  if (policy_.integrates) {
    for (size_t i = 0; i < elems; ++i) residual_[begin + i] = open_residual_[i] - decoded[i];
  }
  started_ = 1;
}

void Estimates::received(size_t begin, std::span<float> mean) {
  for (size_t i = 0; i < mean.size(); ++i) {
    mean_[begin + i] += mean[i];
    mean[i] = mean_[begin + i];
  }
}

void Estimates::dense(size_t, std::span<const float> x, float scale) {
  open_estimate_.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) open_estimate_[i] = scale * x[i];
}

void Estimates::dense_received(size_t begin, std::span<const float> mean) {
  const auto at = static_cast<std::ptrdiff_t>(begin);
  std::ranges::copy(open_estimate_, estimate_.begin() + at);
  if (policy_.momentum) std::ranges::copy(open_estimate_, momentum_.begin() + at);
  std::ranges::copy(mean, mean_.begin() + at);
  started_ = 1;
}

// H lacks what is owed; taking it off the estimates makes them agree again, and the next round sends it.
void Estimates::take_back(size_t begin, std::span<const float> owed) {
  for (size_t i = 0; i < owed.size(); ++i) estimate_[begin + i] -= owed[i];
}

std::span<float> Estimates::of(std::vector<float>& flat, Slot slot) {
  return std::span(flat).subspan(table_.offset(slot), table_.slots()[slot].elems());
}

std::span<float> Estimates::residual(Slot slot) { return policy_.integrates ? of(residual_, slot) : std::span<float>(); }

std::vector<StatePiece> Estimates::state(Slot slot) {
  const std::string& name = table_.slots()[slot].name;
  const auto piece = [&](const char* what, std::vector<float>& flat, bool same) {
    return StatePiece{
        .name = what + ("/" + name), .slot = slot, .same_on_all_ranks = same, .memory = std::as_writable_bytes(of(flat, slot))};
  };
  std::vector<StatePiece> pieces{piece("estimate", estimate_, false), piece("mean_estimate", mean_, true)};
  if (policy_.momentum) pieces.push_back(piece("feedback_momentum", momentum_, false));
  if (policy_.integrates) pieces.push_back(piece("residual", residual_, false));
  if (slot == 0) {
    pieces.push_back({.name = "estimates_started",
                      .slot = slot,
                      .slot_shaped = false,
                      .same_on_all_ranks = true,
                      .dtype = DType::i64,
                      .memory = std::as_writable_bytes(std::span(&started_, 1))});
  }
  return pieces;
}

}  // namespace thinwire::exchange

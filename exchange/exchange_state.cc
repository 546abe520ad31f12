// The part of Exchange that is about what rounds leave behind: residuals, state for checkpoints, and its way to another table.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "exchange/exchange.h"
#include "exchange/rounds/bucket_round.h"

namespace thinwire::exchange {

namespace {

// Copies every piece of `from` that `to` has under the same name.
void carry_over(const std::vector<StatePiece>& from, const std::vector<StatePiece>& to) {
  std::map<std::string, const StatePiece*> saved;
  for (const StatePiece& piece : from) saved[piece.name] = &piece;
  std::vector<std::byte> crossing;
  for (const StatePiece& piece : to) {
    const auto it = saved.find(piece.name);
    if (it == saved.end()) continue;
    check(it->second->memory.size() == piece.memory.size(), "a slot's state keeps its size");
    crossing.resize(piece.memory.size());
    it->second->home->fetch(crossing, it->second->memory.data());
    piece.home->store(piece.memory.data(), crossing);
  }
}

}  // namespace

std::span<float> Exchange::residual(Slot slot) {
  if (!feedback_) return {};
  const auto kept = feedback_->residual(slot, unpacked_);
  Residence& home = placement_.home_of(table_->bucket_of(slot));
  if (home.is_host()) return kept;
  unpacked_.resize(kept.size());
  home.fetch(std::as_writable_bytes(std::span(unpacked_)), kept.data());
  return unpacked_;
}

double Exchange::residual_norm() {
  double squares = 0;
  for (Slot slot = 0; feedback_ && slot < table_->slots().size(); ++slot) {
    if (is_open(table_->slots()[slot].fragment)) continue;
    squares += norm_holds_[slot] ? norms_[slot].residual
                                 : placement_.home_of(table_->bucket_of(slot)).square_sum(feedback_->residual(slot, unpacked_));
  }
  return std::sqrt(squares);
}

std::vector<StatePiece> Exchange::state() {
  std::vector<StatePiece> pieces;
  for (Slot slot = 0; feedback_ && slot < table_->slots().size(); ++slot)
    std::ranges::move(feedback_->state(slot), std::back_inserter(pieces));
  return state(std::move(pieces));
}

std::vector<StatePiece> Exchange::state_to_regroup() {
  std::vector<StatePiece> pieces;
  for (Slot slot = 0; feedback_ && slot < table_->slots().size(); ++slot)
    std::ranges::move(feedback_->state_to_regroup(slot), std::back_inserter(pieces));
  return state(std::move(pieces));
}

void Exchange::regrouped() {
  if (feedback_) feedback_->regrouped();
}

std::vector<StatePiece> Exchange::state(std::vector<StatePiece> pieces) {
  residence_.finish();
  for (const auto& round : rounds_) {
    if (!nodes_->leads()) break;
    for (StatePiece& piece : round->state(feedback_ != nullptr)) pieces.push_back(std::move(piece));
  }
  for (StatePiece& piece : pieces) {
    if (piece.same_on_all_ranks) piece.regroup = Regroup::same;
    if (nodes_->flat()) continue;
    piece.same_on_all_ranks = false;  // those that lead no node have none
    piece.keeper = nodes_->leader_index();
    piece.keepers = nodes_->num_leaders();
  }
  for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
    const SlotSpec& spec = table_->slots()[slot];
    if (samples_) {
      const auto sum = std::span(sampled_).subspan(table_->offset(slot), spec.elems());
      pieces.push_back({.name = "sampled/" + spec.name, .slot = slot, .memory = std::as_writable_bytes(sum)});
    }
    if (!measures_) continue;
    for (auto& [what, norms] : {std::pair("norms/", &norms_[slot]), std::pair("measured/", &measured_[slot])}) {
      pieces.push_back({.name = what + spec.name,
                        .slot = slot,
                        .slot_shaped = false,
                        .dtype = DType::f64,
                        .memory = std::as_writable_bytes(std::span(norms, 1))});
    }
  }
  return pieces;
}

void Exchange::rebuild(SlotTable table) {
  check(!any_open() && !samples_, "a plan changes between rounds");
  check(table.slots().size() == table_->slots().size(), "a plan is of the same slots");
  if (feedback_) {
    for (const auto& round : rounds_) {
      const auto [begin, owed] = round->owed();
      feedback_->take_back(begin, owed);
    }
  }
  const auto old_table = std::move(table_);
  const auto old_feedback = std::move(feedback_);
  const auto old_rounds = std::move(rounds_);
  lay_out(std::move(table));
  // A plan that loses nothing sends what is left over from the one before.
  if (old_feedback && !feedback_) keep_feedback();
  for (Slot slot = 0; slot < table_->slots().size(); ++slot) {
    const SlotSpec &before = old_table->slots()[slot], &now = table_->slots()[slot];
    check(before.name == now.name && before.elems() == now.elems(), "a plan is of the same slots");
    if (old_feedback) carry_over(old_feedback->state(slot), feedback_->state(slot));
    if (before.codec != now.codec) continue;
    const auto from = old_rounds[old_table->bucket_of(slot)]->memory(slot), to = rounds_[table_->bucket_of(slot)]->memory(slot);
    std::copy(from.begin(), from.end(), to.begin());
  }
}

}  // namespace thinwire::exchange

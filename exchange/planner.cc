#include "exchange/planner.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/hash.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"
#include "compressors/plan/speed.h"
#include "exchange/planner_state.h"

namespace thinwire::exchange {

using compressors::ErrorTable;
using compressors::LayerToPlan;
using compressors::Plan;

namespace {

// How far a residual is beyond its bound; above 1, its codec does not keep its word. |e'| <= q (decay |e| + |x|) with q = sqrt(1 - delta)
// gives |e| <= q / (1 - q decay) max |x|, of which four times is allowed, and a hundred in any case. Where no delta is guaranteed, the
// share of the bytes that is sent stands in for it: that is what random-k keeps on average. EControl's residual is an integral, which noise
// alone makes as large as 1 / sqrt(eta); eta times it is what counts.
double beyond_bound(const SlotSpec& slot, const FeedbackOptions& feedback, const SlotNorms& norms) {
  constexpr double kSlack = 4, kLeast = 100;
  if (norms.largest_input == 0) return 0;
  const double sent_share = compressors::payload_bytes(slot.traits()) / (4.0 * static_cast<double>(slot.elems()));
  const double q = std::sqrt(1 - std::min(1.0, slot.delta() > 0 ? slot.delta() : sent_share));
  const double decay = feedback.name == "ef14" ? feedback.decay : 1;
  const double gain = feedback.name == "econtrol" ? feedback.eta.value_or(slot.delta()) : 1;
  return gain * std::sqrt(norms.residual / norms.largest_input) / std::max(kLeast, kSlack * q / (1 - q * decay));
}

// In the plan that was in force when the slot fell back; the next one knows it from the start.
void note_fallback(compressors::PlannedLayer& layer, const SlotSpec& dense, int senders) {
  layer.choice = dense.text;
  layer.why_dense = dense.why_dense;
  layer.squared_error = 0;
  layer.payload_bytes = compressors::payload_bytes(dense.traits());
  layer.wire_bytes = compressors::wire_bytes(dense.combine(), layer.payload_bytes, std::max(2, senders));
}

void require_same_hash(comm::Driver& driver, uint64_t hash) {
  driver.run("agreement on a plan", [&](comm::Wire& wire) {
    const auto all = comm::all_gather(wire, bytes_of(std::span(&hash, 1)), sizeof hash);
    for (size_t rank = 0; rank < all.size(); ++rank) {
      if (all[rank].size() == sizeof hash && load_le<uint64_t>(all[rank].data()) == hash) continue;
      wire.fail("rank " + std::to_string(rank) + " made another plan than this rank: run the same build on the same kind of machine",
                "plan");
    }
  });
}

// A plan that error feedback cannot go on under is refused before the run, not in the middle of it.
void require_contractions(const compressors::CandidateSet& set, const std::vector<SlotSpec>& slots) {
  for (Slot slot = 0; slot < slots.size(); ++slot) {
    if (!slots[slot].why_fixed.empty()) continue;
    for (const auto& candidate : set.candidates) {
      if (candidate.compressor->traits({slot, slots[slot].rows, slots[slot].cols}).delta > 0) continue;
      throw ConfigError(
          "compress.error_feedback: econtrol takes its eta from the contraction that the codec guarantees, but a plan may choose " +
          candidate.text + ", which guarantees none for '" + slots[slot].name + "'; set compress.error_feedback.eta");
    }
  }
}

}  // namespace

Planner::Planner(const CompressOptions& options, std::vector<SlotSpec> slots, int64_t bucket_bytes, Exchange& exchange, uint64_t seed)
    : options_(options), slots_(std::move(slots)), bucket_bytes_(bucket_bytes), exchange_(exchange), draw_(Draw(seed).fork("plan")) {
  exchange_.measure(options_.fallback);
  if (options_.plan.method == "off") return;
  candidates_ = compressors::make_candidates(options_.choice, options_.plan);
  for (const auto& candidate : candidates_.candidates) shared_.emplace(candidate.text, candidate.compressor);
  // A slot that goes on as it was configured keeps its compressor, and with it what its sketch has learnt.
  for (const SlotSpec& spec : slots_) {
    if (spec.why_fixed.empty()) shared_[candidates_.candidates[candidates_.uniform].text] = spec.codec;
  }
  if (options_.error_feedback.name == "econtrol" && !options_.error_feedback.eta) require_contractions(candidates_, slots_);
  exchange_.sample(true);
}

bool Planner::has_sampled() const {
  return exchange_.sampling() && exchange_.rounds_sampled() >= static_cast<uint64_t>(options_.plan.samples);
}

bool Planner::is_due(bool exchanged) const {
  if (options_.plan.method != "off" && exchanged && has_sampled()) return true;
  return std::any_of(grown_.begin(), grown_.end(), [this](Slot slot) { return !fallbacks_.contains(slot); });
}

bool Planner::after_step(uint64_t step, bool exchanged) {
  const bool plans = options_.plan.method != "off";
  bool changed = false;
  for (const Slot slot : std::exchange(grown_, {}))
    changed = fallbacks_.try_emplace(slot, "its residual grew beyond bounds at step " + std::to_string(step)).second || changed;
  if (plans && exchanged && has_sampled()) {
    make_plan(step);
    changed = true;
  }
  if (changed) apply();
  if (plans && !exchange_.sampling() && step + 1 >= next_step_) exchange_.sample(true);
  return changed;
}

std::optional<Slot> Planner::grown() const {
  if (!options_.fallback) return std::nullopt;
  std::optional<Slot> worst;
  double furthest = 1;
  for (Slot slot = 0; slot < exchange_.norms().size(); ++slot) {
    if (fallbacks_.contains(slot)) continue;
    const double beyond = beyond_bound(exchange_.table().slots()[slot], options_.error_feedback, exchange_.norms()[slot]);
    if (beyond > furthest) worst = slot, furthest = beyond;
  }
  return worst;
}

ErrorTable Planner::summed_errors() {
  ErrorTable table(slots_.size(), candidates_.candidates.size());
  const Draw draw = draw_.fork(plan_.version).fork(static_cast<uint64_t>(exchange_.driver().rank()));
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot].why_fixed.empty()) continue;
    const SlotSpec& spec = slots_[slot];
    const auto a = exchange_.sampled().subspan(exchange_.table().offset(slot), spec.elems());
    compressors::measure_layer(candidates_, {slot, spec.rows, spec.cols}, a, options_.plan.sample_elems, draw.fork(slot), table, slot);
  }
  // Seven digits are enough for a choice, and half the bytes.
  std::vector<float> sums(table.flat().begin(), table.flat().end());
  exchange_.driver().run("errors of a plan", [&](comm::Wire& wire) { comm::sum_in_rank_order(wire, sums); });
  std::copy(sums.begin(), sums.end(), table.flat().begin());
  return table;
}

void Planner::make_plan(uint64_t step) {
  const Stopwatch watch;
  const ErrorTable table = summed_errors();
  std::vector<LayerToPlan> layers;
  for (const SlotSpec& spec : slots_) {
    LayerToPlan layer;
    layer.name = spec.name;
    layer.rows = spec.rows;
    layer.cols = spec.cols;
    if (const auto fallback = fallbacks_.find(static_cast<Slot>(layers.size())); fallback != fallbacks_.end()) {
      layer.fixed = shared_.at("none");
      layer.fixed_text = "none";
      layer.why_dense = fallback->second;
    } else if (!spec.why_fixed.empty()) {
      layer.fixed = spec.codec;
      layer.fixed_text = spec.text;
      layer.why_dense = spec.why_dense;
    }
    layers.push_back(std::move(layer));
  }
  compressors::Conditions conditions;
  conditions.ranks = std::max(2, exchange_.senders());  // alone nothing costs anything: plan as if there were a peer
  conditions.reencode = options_.combine == "reencode";
  if (options_.plan.objective == "time") {
    add_rate(layers);
    conditions.speeds = agreed_speeds();
  }
  plan_ = compressors::choose(candidates_, layers, table, conditions, options_.plan, plan_);
  require_same_hash(exchange_.driver(), compressors::hash(plan_));
  exchange_.sample(false);
  next_step_ = step + static_cast<uint64_t>(options_.plan.every);
  last_s_ = watch.seconds();
}

// Seconds per byte as the last round had them, whichever buckets were at the wire: the mean over ranks, so that all have the same.
void Planner::add_rate(std::vector<LayerToPlan>& layers) {
  std::array<float, 1> rate{static_cast<float>(exchange_.last_times().wire_s_per_byte)};
  exchange_.driver().run("rate of a plan", [&](comm::Wire& wire) { comm::sum_in_rank_order(wire, rate); });
  for (LayerToPlan& layer : layers) layer.s_per_byte = rate[0] / exchange_.driver().size();
}

// Of each candidate, measured once: the mean over ranks.
std::vector<compressors::CodecSpeed> Planner::agreed_speeds() {
  if (!speeds_.empty()) return speeds_;
  std::vector<float> sums;
  for (const auto& speed : compressors::measure_speeds(candidates_)) {
    sums.push_back(static_cast<float>(speed.encode_s_per_elem));
    sums.push_back(static_cast<float>(speed.decode_s_per_elem));
  }
  exchange_.driver().run("speeds of codecs", [&](comm::Wire& wire) { comm::sum_in_rank_order(wire, sums); });
  const int ranks = exchange_.driver().size();
  for (size_t i = 0; i < sums.size(); i += 2) speeds_.push_back({sums[i] / ranks, sums[i + 1] / ranks});
  return speeds_;
}

void Planner::apply() {
  const bool sampling = exchange_.sampling();
  exchange_.sample(false);
  std::vector<SlotSpec> slots = slots_;
  const auto none = shared_.try_emplace("none", compressors::CodecChoice().make()).first->second;
  for (Slot slot = 0; slot < slots.size(); ++slot) {
    SlotSpec& spec = slots[slot];
    if (const auto fallback = fallbacks_.find(slot); fallback != fallbacks_.end()) {
      spec.codec = none;
      spec.text = "none";
      spec.why_dense = fallback->second;
      spec.combine_as.reset();
      if (plan_.version > 0) note_fallback(plan_.layers[slot], spec, exchange_.senders());
    } else if (plan_.version > 0 && spec.why_fixed.empty()) {
      const compressors::PlannedLayer& layer = plan_.layers[slot];
      spec.codec = shared_.at(layer.choice);
      spec.text = layer.choice;
      spec.why_dense = layer.why_dense;
      set_combine(spec, options_);
    }
  }
  const auto version = static_cast<uint32_t>(plan_.version + fallbacks_.size());
  exchange_.rebuild(SlotTable(std::move(slots), bucket_bytes_, version));
  if (sampling) exchange_.sample(true);
}

std::string Planner::to_text() const {
  return exchange::to_text({next_step_, exchange_.sampling(), exchange_.rounds_sampled(), fallbacks_, grown_, plan_});
}

void Planner::restore(const std::string& text) {
  PlannerState saved = parse_planner_state(text, slots_.size());
  if (options_.plan.method == "off" && (saved.is_sampling || saved.plan.version > 0))
    throw CorruptData("the saved plan: this run does not plan");
  if (saved.plan.version > 0) require_own(saved.plan);
  next_step_ = saved.next_step;
  fallbacks_ = std::move(saved.fallbacks);
  grown_ = std::move(saved.grown);
  plan_ = std::move(saved.plan);
  if (plan_.version > 0 || !fallbacks_.empty()) apply();
  exchange_.sample(saved.is_sampling, saved.rounds_sampled);
}

// Of the same slots, and of candidates that there are.
void Planner::require_own(const Plan& plan) const {
  if (plan.layers.size() != slots_.size()) throw CorruptData("the saved plan: it is of another model");
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    const compressors::PlannedLayer& layer = plan.layers[slot];
    const SlotSpec& spec = slots_[slot];
    if (layer.name != spec.name || layer.rows != spec.rows || layer.cols != spec.cols)
      throw CorruptData("the saved plan: it is of another model, without '" + spec.name + "'");
    if (spec.why_fixed.empty() && !shared_.contains(layer.choice))
      throw CorruptData("the saved plan: there is no candidate '" + layer.choice + "'");
  }
}

}  // namespace thinwire::exchange

#include "exchange/planner.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/hash.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"
#include "compressors/plan/speed.h"

namespace thinwire::exchange {

using compressors::ErrorTable;
using compressors::LayerToPlan;
using compressors::Plan;

namespace {

// What error feedback may pile up at most, in multiples of the largest input: |e'| <= q (decay |e| + |x|) with q = sqrt(1 - delta) gives
// |e| <= q / (1 - q decay) max |x|. Four times that is a codec that does not keep its word; without a word, a hundred times the input.
double residual_limit(const SlotSpec& slot, double decay) {
  constexpr double kSlack = 4, kWithoutBound = 100;
  const double delta = slot.delta();
  if (delta <= 0) return kWithoutBound;
  const double q = std::sqrt(std::max(0.0, 1 - delta));
  return std::max(kWithoutBound, kSlack * q / (1 - q * decay));
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

// What Planner::to_text() says.
struct Saved {
  uint64_t next_step = 0, sampling = 0, rounds = 0;
  std::map<Slot, std::string> fallbacks;
  Plan plan;
};

[[noreturn]] void corrupt(const std::string& what) { throw CorruptData("the saved plan: " + what); }

std::string take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) corrupt("its last line is cut");
  const std::string line(text.substr(0, end));
  text.remove_prefix(end + 1);
  return line;
}

uint64_t take_number(std::string_view& line) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  const auto taken = static_cast<size_t>(end - line.data());
  if (error != std::errc() || (taken < line.size() && line[taken] != ' '))
    corrupt("no number begins '" + std::string(line) + "'");
  line.remove_prefix(std::min(line.size(), taken + 1));
  return number;
}

Saved parse(std::string_view text, size_t num_slots) {
  if (take_line(text) != "planner 1") corrupt("not of a form that this program reads");
  Saved saved;
  const std::string head = take_line(text);
  std::string_view numbers = head;
  saved.next_step = take_number(numbers);
  saved.sampling = take_number(numbers);
  saved.rounds = take_number(numbers);
  const uint64_t count = take_number(numbers);
  if (!numbers.empty() || saved.sampling > 1 || count > num_slots) corrupt("its second line is damaged");
  for (uint64_t i = 0; i < count; ++i) {
    const std::string line = take_line(text);
    std::string_view why = line;
    const uint64_t slot = take_number(why);
    if (slot >= num_slots || why.empty() || !saved.fallbacks.try_emplace(static_cast<Slot>(slot), why).second)
      corrupt("its fallbacks are damaged");
  }
  if (!text.empty()) saved.plan = compressors::parse_plan(text);
  return saved;
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

bool Planner::after_step(uint64_t step, bool exchanged, const std::vector<Slot>& grown) {
  const bool plans = options_.plan.method != "off";
  bool changed = false;
  for (const Slot slot : grown)
    changed = fallbacks_.try_emplace(slot, "its residual grew beyond bounds at step " + std::to_string(step)).second || changed;
  if (plans && exchanged && exchange_.sampling() && exchange_.rounds_sampled() >= static_cast<uint64_t>(options_.plan.samples)) {
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
  const double decay = options_.error_feedback.name == "ef14" ? options_.error_feedback.decay : 1;
  for (Slot slot = 0; slot < exchange_.norms().size(); ++slot) {
    const SlotNorms& norms = exchange_.norms()[slot];
    if (fallbacks_.contains(slot) || norms.largest_input == 0) continue;
    const double limit = residual_limit(exchange_.table().slots()[slot], decay);
    const double beyond = std::sqrt(norms.residual / norms.largest_input) / limit;
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
    if (!spec.why_fixed.empty()) {
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
    add_rates(layers);
    conditions.speeds = agreed_speeds();
  }
  plan_ = compressors::choose(candidates_, layers, table, conditions, options_.plan, plan_);
  require_same_hash(exchange_.driver(), compressors::hash(plan_));
  exchange_.sample(false);
  next_step_ = step + static_cast<uint64_t>(options_.plan.every);
  last_s_ = watch.seconds();
}

// Seconds per byte of each slot's bucket, as the last round had them: the mean over ranks, so that all have the same.
void Planner::add_rates(std::vector<LayerToPlan>& layers) {
  std::vector<float> rates(layers.size());
  for (Slot slot = 0; slot < layers.size(); ++slot) rates[slot] = static_cast<float>(exchange_.wire_s_per_byte(slot));
  exchange_.driver().run("rates of a plan", [&](comm::Wire& wire) { comm::sum_in_rank_order(wire, rates); });
  for (Slot slot = 0; slot < layers.size(); ++slot) layers[slot].s_per_byte = rates[slot] / exchange_.driver().size();
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
      if (plan_.version > 0) plan_.layers[slot].choice = "none", plan_.layers[slot].why_dense = fallback->second;
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
  std::ostringstream text;
  text << "planner 1\n"
       << next_step_ << ' ' << exchange_.sampling() << ' ' << exchange_.rounds_sampled() << ' ' << fallbacks_.size() << '\n';
  for (const auto& [slot, why] : fallbacks_) text << slot << ' ' << why << '\n';
  text << (plan_.version > 0 ? compressors::to_text(plan_) : "");
  return text.str();
}

void Planner::restore(const std::string& text) {
  Saved saved = parse(text, slots_.size());
  if (options_.plan.method == "off" && (saved.sampling != 0 || saved.plan.version > 0)) corrupt("this run does not plan");
  if (saved.plan.version > 0) require_own(saved.plan);
  next_step_ = saved.next_step;
  fallbacks_ = std::move(saved.fallbacks);
  plan_ = std::move(saved.plan);
  if (plan_.version > 0 || !fallbacks_.empty()) apply();
  exchange_.sample(saved.sampling != 0, saved.rounds);
}

// Of the same slots, and of candidates that there are.
void Planner::require_own(const Plan& plan) const {
  if (plan.layers.size() != slots_.size()) corrupt("it is of another model");
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    const compressors::PlannedLayer& layer = plan.layers[slot];
    const SlotSpec& spec = slots_[slot];
    if (layer.name != spec.name || layer.rows != spec.rows || layer.cols != spec.cols)
      corrupt("it is of another model, without '" + spec.name + "'");
    if (spec.why_fixed.empty() && !shared_.contains(layer.choice)) corrupt("there is no candidate '" + layer.choice + "'");
  }
}

}  // namespace thinwire::exchange

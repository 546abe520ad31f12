#include "compressors/plan/choose.h"

#include <cmath>
#include <limits>
#include <map>

#include "base/check.h"
#include "base/knapsack.h"

namespace thinwire::compressors {

namespace {

Layer shape_of(const LayerToPlan& layer, size_t index) { return {static_cast<uint32_t>(index), layer.rows, layer.cols}; }

Combine combine_of(const Traits& traits, const Conditions& conditions) {
  return conditions.reencode && traits.combine == Combine::gather && traits.split_elems > 0 ? Combine::reencode : traits.combine;
}

double bytes_sent(const Compressor& compressor, Layer layer, const Conditions& conditions) {
  const Traits traits = compressor.traits(layer);
  return wire_bytes(combine_of(traits, conditions), payload_bytes(traits), conditions.ranks);
}

class Chooser {
 public:
  Chooser(const CandidateSet& set, std::span<const LayerToPlan> layers, const ErrorTable& table, const Conditions& conditions,
          const PlanOptions& options, const Plan& last)
      : set_(set), layers_(layers), table_(table), conditions_(conditions), options_(options) {
    check(table.layers() == layers.size() && table.candidates() == set.candidates.size(), "the table is of these layers and candidates");
    check(conditions.speeds.empty() || conditions.speeds.size() == set.candidates.size(), "each candidate has a speed");
    for (const PlannedLayer& layer : last.layers) norm_before_[layer.name] = layer.squared_norm;
  }

  Plan choose(uint64_t version) {
    Plan plan;
    plan.version = version;
    double reference_error = 0;
    for (size_t l = 0; l < layers_.size(); ++l) {
      if (layers_[l].fixed) continue;
      rows_.push_back(row_of(l));
      const size_t reference = reference_of(l);
      // Where the reference fails, both it and the plan go without: an infinite budget would allow everything everywhere else.
      reference_.push_back(std::isfinite(rows_.back()[reference].error) ? static_cast<uint32_t>(reference) : 0);
      reference_error += rows_.back()[reference_.back()].error;
      plan.reference_cost += rows_.back()[reference_.back()].cost;
    }
    plan.budget = options_.alpha * reference_error;
    const auto solved = solve_knapsack(rows_, plan.budget, reference_);
    check(solved.has_value(), "no error at all is always within the budget: none is a candidate");
    plan.error = solved->error;
    plan.cost = solved->cost;
    plan.bound = solved->bound;
    for (size_t l = 0, row = 0; l < layers_.size(); ++l) {
      plan.layers.push_back(layers_[l].fixed ? fixed(l) : planned(l, rows_[row], solved->choice[row]));
      if (!layers_[l].fixed) ++row;
    }
    return plan;
  }

 private:
  KnapsackRow row_of(size_t l) const {
    KnapsackRow row;
    const size_t reference = reference_of(l);
    for (size_t c = 0; c < set_.candidates.size(); ++c) {
      row.push_back({cost_of(l, c), c == reference || !expands(l, c) ? error_of(l, c) : std::numeric_limits<double>::infinity()});
    }
    return row;
  }

  // Off by more than nothing at all would be: a budget that is large beside a layer's numbers allows it, a residual under it grows.
  bool expands(size_t l, size_t c) const { return table_.squared_norm(l) > 0 && table_.errors(l)[c] >= table_.squared_norm(l); }

  double error_of(size_t l, size_t c) const {
    const double squared = table_.errors(l)[c];
    if (options_.metric == "unsquared") return std::sqrt(squared);
    if (options_.metric == "squared") return squared;
    const double norm = table_.squared_norm(l);
    return norm > 0 ? squared / norm * static_cast<double>(shape_of(layers_[l], l).elems()) : 0;
  }

  double cost_of(size_t l, size_t c) const {
    const Compressor& compressor = *set_.candidates[c].compressor;
    const Layer layer = shape_of(layers_[l], l);
    const double bytes = bytes_sent(compressor, layer, conditions_);
    if (options_.objective == "size") return bytes;
    const CodecSpeed speed = conditions_.speeds.empty() ? CodecSpeed() : conditions_.speeds[c];
    const double elems = static_cast<double>(layer.elems());
    return bytes * layers_[l].s_per_byte +
           codec_seconds(combine_of(compressor.traits(layer), conditions_), elems, conditions_.ranks, speed);
  }

  size_t reference_of(size_t l) const {
    if (options_.reference == "uniform") return set_.uniform;
    const auto before = norm_before_.find(layers_[l].name);
    const bool critical = before == norm_before_.end() || is_critical(before->second, table_.squared_norm(l), options_.critical_change);
    return critical ? set_.gentle : set_.harsh;
  }

  PlannedLayer described(size_t l, const Compressor& compressor, const std::string& text) const {
    const Layer layer = shape_of(layers_[l], l);
    PlannedLayer planned;
    planned.name = layers_[l].name;
    planned.rows = layer.rows;
    planned.cols = layer.cols;
    planned.choice = text;
    planned.payload_bytes = payload_bytes(compressor.traits(layer));
    planned.wire_bytes = bytes_sent(compressor, layer, conditions_);
    return planned;
  }

  PlannedLayer fixed(size_t l) const {
    PlannedLayer planned = described(l, *layers_[l].fixed, layers_[l].fixed_text);
    planned.why_dense = layers_[l].why_dense;
    return planned;
  }

  PlannedLayer planned(size_t l, const KnapsackRow& row, uint32_t choice) const {
    PlannedLayer planned = described(l, *set_.candidates[choice].compressor, set_.candidates[choice].text);
    planned.squared_error = table_.errors(l)[choice];
    planned.squared_norm = table_.squared_norm(l);
    planned.why_dense = choice == 0 ? why_dense(row) : set_.candidates[choice].compressor->traits(shape_of(layers_[l], l)).why_raw;
    return planned;
  }

  std::string why_dense(const KnapsackRow& row) const {
    if (row.size() == 1) return "there is no other candidate";
    bool works = false, saves = false;
    for (size_t c = 1; c < row.size(); ++c) {
      works = works || std::isfinite(row[c].error);
      saves = saves || (std::isfinite(row[c].error) && row[c].cost < row[0].cost);
    }
    if (!works) return "its numbers are not finite";
    if (!saves) return options_.objective == "size" ? "no candidate sends less" : "no candidate is faster";
    return "the error budget saves more on other layers";
  }

  const CandidateSet& set_;
  std::span<const LayerToPlan> layers_;
  const ErrorTable& table_;
  const Conditions& conditions_;
  const PlanOptions& options_;
  std::map<std::string, double> norm_before_;
  std::vector<KnapsackRow> rows_;  // of the layers that are not fixed
  std::vector<uint32_t> reference_;
};

}  // namespace

Plan choose(const CandidateSet& set, std::span<const LayerToPlan> layers, const ErrorTable& table, const Conditions& conditions,
            const PlanOptions& options, const Plan& last) {
  return Chooser(set, layers, table, conditions, options, last).choose(last.version + 1);
}

bool is_critical(double squared_norm_before, double squared_norm_now, double critical_change) {
  const double before = std::sqrt(squared_norm_before), now = std::sqrt(squared_norm_now);
  return std::fabs(before - now) >= critical_change * before;
}

}  // namespace thinwire::compressors

#include "trainer/planning.h"

#include <fmt/format.h>

#include <cmath>

#include "base/flight.h"
#include "base/log.h"
#include "base/output.h"
#include "base/text.h"
#include "compressors/plan/cost.h"
#include "exchange/attach.h"
#include "exchange/feedback/feedback.h"
#include "exchange/plan.h"
#include "models/footprint.h"
#include "trainer/estimating.h"

namespace thinwire::trainer {

std::vector<exchange::SlotSpec> slots_of(const models::Model& model, const Options& options) {
  std::vector<exchange::ParameterShape> shapes;
  for (const auto& parameter : model.parameters()) {
    const auto [rows, cols] = exchange::rows_cols(parameter.value);
    shapes.push_back({parameter.name, rows, cols});
  }
  auto slots = exchange::plan_slots(shapes, options.compress);
  if (options.exchange.schedule == "local_steps") exchange::assign_fragments(slots, options.exchange.fragments);
  return slots;
}

std::vector<exchange::SlotSpec> checked_slots(const Options& options) {
  auto slots = slots_of(*models::make_outline(options.model, num_classes_of(options)), options);
  exchange::require_sound(options.compress.error_feedback, exchange::SlotTable(slots, options.exchange.bucket_bytes));
  return slots;
}

namespace {

void announce_plan(Parts& parts, int64_t step, Metrics& metrics) {
  const compressors::Plan& plan = parts.planner->plan();
  double bytes = 0, dense_bytes = 0;
  for (const auto& layer : plan.layers) {
    bytes += layer.payload_bytes;
    dense_bytes += 4.0 * static_cast<double>(layer.rows * layer.cols);
  }
  const std::string summary = fmt::format("version {}: {} for {} of fp32, {:.1f} times fewer; {:.2f} s", plan.version, human_bytes(bytes),
                                          human_bytes(dense_bytes), bytes > 0 ? dense_bytes / bytes : 0, parts.planner->last_s());
  metrics.event(step, "plan", summary);
  if (parts.driver.rank() != 0) return;
  log::info("plan {}", summary);
  try {
    write_text(parts.location.directory / "plans" / fmt::format("step-{:08}.txt", step), compressors::format_table(plan));
  } catch (const Error& e) {
    log::warn("the plan was not written down: {}", e.what());
  }
}

}  // namespace

void replan(Parts& parts, int64_t step, Metrics& metrics) {
  const auto version = parts.planner->plan().version;
  const auto fallbacks = parts.planner->fallbacks();
  const bool exchanged = parts.schedule->exchanged();
  if (parts.planner->is_due(exchanged)) parts.schedule->settle();
  const flight::Scope noted(parts.planner->is_due(exchanged) ? flight::Kind::plan : flight::Kind::none, "step", step);
  if (!parts.planner->after_step(static_cast<uint64_t>(step), exchanged)) return;
  place_gradients(parts);
  if (parts.planner->plan().version != version) announce_plan(parts, step, metrics);
  for (const auto& [slot, why] : parts.planner->fallbacks()) {
    if (fallbacks.contains(slot)) continue;
    const std::string& name = parts.exchange->table().slots()[slot].name;
    metrics.event(step, "dense_fallback", name);
    if (parts.driver.rank() == 0) {
      log::warn(
          "step {}: the residual of '{}' has outgrown what its codec should leave: it travels dense from now on (compress.fallback); a "
          "gentler codec, and under econtrol a smaller eta, keep it bounded",
          step, name);
    }
  }
}

std::vector<LayerRecord> layer_records(const exchange::Exchange& exchange, const std::string& feedback) {
  std::vector<LayerRecord> records;
  for (exchange::Slot slot = 0; slot < exchange.norms().size(); ++slot) {
    const auto& norms = exchange.norms()[slot];
    const auto& spec = exchange.table().slots()[slot];
    const bool is_dense = !spec.why_dense.empty() || exchange.went_dense(slot);
    const double bytes = is_dense ? 4.0 * static_cast<double>(spec.elems()) : compressors::payload_bytes(spec.traits());
    records.push_back({spec.name, is_dense ? "none" : spec.text, spec.elems(), bytes, {}, {}});
    if (feedback == "ef14" || feedback == "econtrol") records.back().residual_norm = std::sqrt(norms.residual);
    if (feedback == "ef14" && !is_dense) records.back().error = norms.offered > 0 ? std::sqrt(norms.residual / norms.offered) : 0;
  }
  return records;
}

}  // namespace thinwire::trainer

#include "estimate/wire.h"

#include <algorithm>

#include "exchange/feedback/feedback.h"

namespace thinwire::estimate {

namespace {

bool has_plan(const Subject& s) { return s.compress.plan.method != "off"; }

// Rounds that end until a step, the last of the run included.
int64_t rounds_until(const Subject& s, int64_t step, int64_t every) {
  return step / every + (step == s.steps && step % every != 0 ? 1 : 0);
}

std::string assumption_of(const Subject& s) {
  if (has_plan(s)) return "every layer travels as configured until a plan says otherwise; a plan sends no more than that (compress.plan)";
  for (const auto& slot : s.table.slots()) {
    if (!slot.traits().exact_bytes) return "payloads whose length varies are as long as those of normally distributed numbers";
  }
  return "";
}

bool begins_with_estimates(const exchange::FeedbackOptions& feedback) {
  return feedback.start == "dense" && (feedback.name == "ef21" || feedback.name == "ef21_sgdm" || feedback.name == "econtrol");
}

}  // namespace

Wire wire_of(const Subject& s) {
  Wire wire;
  wire.steps_per_round = s.exchanges_drifts() ? s.exchange.every : 1;
  wire.round = exchange::traffic_of(s.table, s.peers());
  wire.rounds = rounds_until(s, s.steps, wire.steps_per_round);
  const int64_t dense_steps = std::min(s.steps, s.compress.start.to_steps(s.steps, s.tokens_per_step));
  wire.dense_rounds = rounds_until(s, dense_steps, wire.steps_per_round);
  if (begins_with_estimates(s.compress.error_feedback) && exchange::loses_anything(s.table))
    wire.dense_rounds = std::min(wire.rounds, std::max<int64_t>(wire.dense_rounds, 1));
  const auto every = static_cast<double>(wire.steps_per_round);
  wire.step_bytes = wire.round.compressed.sent_bytes / every;
  wire.dense_step_bytes = 8 * s.parameters() * (s.ranks - 1) / s.ranks;
  const auto dense = static_cast<double>(wire.dense_rounds), compressed = static_cast<double>(wire.rounds - wire.dense_rounds);
  wire.run_bytes = dense * wire.round.dense.sent_bytes + compressed * wire.round.compressed.sent_bytes;
  if (wire.step_bytes > 0) wire.ratio = wire.dense_step_bytes / wire.step_bytes;
  if (wire.run_bytes > 0) wire.ratio_total = wire.dense_step_bytes * static_cast<double>(s.steps) / wire.run_bytes;
  wire.assumption = assumption_of(s);
  return wire;
}

}  // namespace thinwire::estimate

// The planner's text in a checkpoint, of any bytes: a state or CorruptData; and what was accepted is written as a text that means the same.
#include "exchange/planner_state.h"

#include "base/error.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

constexpr size_t kSlots = 3;

exchange::PlannerState example(size_t fallbacks, bool has_plan) {
  exchange::PlannerState state;
  state.next_step = 120;
  state.is_sampling = !has_plan;
  state.rounds_sampled = 2;
  for (size_t slot = 0; slot < fallbacks; ++slot) state.fallbacks[static_cast<exchange::Slot>(slot)] = "its residual grew at step 7";
  if (fallbacks == 1) state.grown = {0, 2};
  if (!has_plan) return state;
  state.plan.version = 4;
  state.plan.error = 0.1;
  state.plan.budget = 1.0 / 3;
  state.plan.cost = 1e300;
  for (size_t slot = 0; slot < kSlots; ++slot) {
    compressors::PlannedLayer layer;
    layer.name = "blocks." + std::to_string(slot) + ".weight";
    layer.rows = 5;
    layer.cols = 7;
    layer.choice = slot == 0 ? "none" : "topk density=1%";
    layer.squared_error = 1e-30;
    layer.why_dense = slot == 0 ? "no candidate sends less" : "";
    state.plan.layers.push_back(layer);
  }
  return state;
}

void run(ConstBytes input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  std::string once;
  try {
    once = to_text(exchange::parse_planner_state(text, kSlots));
  } catch (const CorruptData& error) {
    require(!std::string(error.what()).empty(), "an error has a message");
    return;
  }
  require(to_text(exchange::parse_planner_state(once, kSlots)) == once, "a written state reads as the same state");
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> seeds;
  for (const size_t fallbacks : {0, 1, 3}) {
    for (const bool has_plan : {false, true}) {
      const std::string text = to_text(example(fallbacks, has_plan));
      const ConstBytes bytes = bytes_of(std::string_view(text));
      seeds.emplace_back(bytes.begin(), bytes.end());
    }
  }
  return seeds;
}

}  // namespace

Target planner_state_target() { return {"planner-state", run, seeds}; }

}  // namespace thinwire::fuzz

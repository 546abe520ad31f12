#include "tests/unit/exchange/planning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "comm/collectives.h"
#include "config/load.h"

namespace thinwire::exchange::testing {

CompressOptions compress_options(const std::string& yaml) {
  CompressOptions options;
  config::Section section = config::describe_root(options);
  config::load(section, {{"test.yaml", yaml}}, {});
  return options;
}

PlannedTrial planned_trial(int ranks, const std::string& yaml) {
  PlannedTrial trial;
  trial.ranks = ranks;
  trial.options = compress_options(yaml);
  trial.slots = plan_slots({{"embed", 64, 32}, {"q", 32, 32}, {"norm", 1, 32}, {"head", 1, 1500}, {"k", 40, 30}}, trial.options);
  return trial;
}

Values layer_numbers(const SlotSpec& slot, uint64_t step, int rank) {
  const Draw draw = Draw(step).fork(slot.name).fork(static_cast<uint64_t>(rank));
  const double spread = slot.name == "embed" ? 2.5 : slot.name == "q" ? 1 : 0, size = slot.name == "k" ? 0.01 : 1;
  Values values(slot.elems());
  for (size_t i = 0; i < values.size(); ++i) {
    const double normal = draw.normal(2 * i);
    values[i] = static_cast<float>(size * normal * std::exp(spread * draw.normal(2 * i + 1)));
  }
  return values;
}

PlannedRank::PlannedRank(comm::Driver& of, const PlannedTrial& planned, Residence& residence)
    : trial(planned),
      driver(of),
      exchange(of, SlotTable(planned.slots, planned.bucket_bytes), planned.options.error_feedback, true, 1, {}, residence),
      planner(planned.options, planned.slots, planned.bucket_bytes, exchange, 1) {}

void PlannedRank::exchange_step(uint64_t step) {
  exchange.begin({step, 1, false});
  for (Slot slot = 0; slot < trial.slots.size(); ++slot) {
    const Values numbers = layer_numbers(trial.slots[slot], step, driver.rank());
    exchange.residence().store(exchange.values(slot).data(), std::as_bytes(std::span(numbers)));
    exchange.ready(slot);
  }
  exchange.finish();
}

std::vector<Slot> PlannedRank::grown_on_any_rank() {
  const auto grown = planner.grown();
  const int64_t own = grown ? static_cast<int64_t>(*grown) : -1;
  std::set<Slot> all;
  driver.run("grown", [&](comm::Wire& wire) {
    for (const auto& message : comm::all_gather(wire, bytes_of(std::span(&own, 1)), sizeof own)) {
      const auto slot = load_le<int64_t>(message.data());
      if (slot >= 0) all.insert(static_cast<Slot>(slot));
    }
  });
  return {all.begin(), all.end()};
}

bool PlannedRank::step(uint64_t step) {
  exchange_step(step);
  for (const Slot slot : grown_on_any_rank()) planner.fall_back(slot);
  return planner.after_step(step, true);
}

SlotValues PlannedRank::values() {
  SlotValues all;
  for (Slot slot = 0; slot < trial.slots.size(); ++slot) {
    Values& of_slot = all.emplace_back(exchange.values(slot).size());
    exchange.residence().fetch(std::as_writable_bytes(std::span(of_slot)), exchange.values(slot).data());
  }
  return all;
}

std::map<std::string, std::vector<std::byte>> PlannedRank::saved_state() {
  std::map<std::string, std::vector<std::byte>> saved;
  for (const StatePiece& piece : exchange.state()) saved[piece.name].assign(piece.memory.begin(), piece.memory.end());
  return saved;
}

void PlannedRank::load_state(const std::map<std::string, std::vector<std::byte>>& saved) {
  const auto pieces = exchange.state();
  EXPECT_EQ(pieces.size(), saved.size());
  for (const StatePiece& piece : pieces) {
    const auto& bytes = saved.at(piece.name);
    ASSERT_EQ(bytes.size(), piece.memory.size()) << piece.name;
    if (!bytes.empty()) std::memcpy(piece.memory.data(), bytes.data(), bytes.size());
  }
}

}  // namespace thinwire::exchange::testing

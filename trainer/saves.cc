#include "trainer/saves.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/flight.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "base/trace.h"
#include "trainer/agreement.h"
#include "trainer/resume.h"

namespace thinwire::trainer {

Saves::Saves(Parts& parts, Metrics& metrics, int64_t saved_step)
    : parts_(parts), metrics_(metrics), last_saved_(saved_step), saver_(*parts.store) {}

void Saves::save(int64_t step, std::array<int64_t, 4> wire_totals) {
  const checkpoint::CheckpointOptions& options = parts_.options.checkpoint;
  if (!options.async) return save_and_wait(step, wire_totals);
  poll();
  if (options.when_busy == "skip" && any_rank_is_busy()) {
    if (parts_.driver.rank() == 0) log::warn("step {} is not saved, because the save before it is still under way", step);
    return metrics_.event(step, "checkpoint_skipped", "the save before it was under way");
  }
  begin(step, wire_totals);
}

void Saves::begin(int64_t step, std::array<int64_t, 4>& wire_totals) {
  trace::Span blocks(trace::Lane::checkpoint, "snapshot", step);
  settle();
  parts_.exchange->join();  // a failure of the exchange is none of the disk
  snapshot_.begin_snapshot();
  checkpoint::State state = state_at(parts_, step, wire_totals, snapshot_);
  snapshot_.end_snapshot();
  saver_.begin(step, std::move(state), facts());
  blocked_s_ = blocks.end();
}

// Each sees its own thread alone, and the last one to be done decides for all.
bool Saves::any_rank_is_busy() {
  const auto busy = gather_values(parts_.driver, "looking whether a save is under way", int{saver_.under_way() && !saver_.done()});
  return std::ranges::any_of(busy, [](int one) { return one != 0; });
}

void Saves::save_and_wait(int64_t step, std::array<int64_t, 4> wire_totals) {
  const Stopwatch blocked;
  settle();
  if (step == last_saved_) return;
  trace::Span saves(trace::Lane::checkpoint, "step", step);
  parts_.exchange->join();
  HostMemory live;
  SaveRecord record{step, 0, 0, ""};
  try {
    parts_.store->save(step, state_at(parts_, step, wire_totals, live), facts());
  } catch (const CheckpointError& e) {
    record.failure = e.what();
  }
  record.save_s = saves.end();
  record.blocked_s = blocked.seconds();
  tell(record);
}

void Saves::poll() {
  if (saver_.under_way() && saver_.done()) settle();
}

void Saves::settle() {
  if (!saver_.under_way()) return;
  const flight::Scope waits(flight::Kind::checkpoint, "the save under way");
  const auto [step, save_s, failure] = saver_.collect();
  tell({step, blocked_s_, save_s, failure});
}

void Saves::tell(const SaveRecord& record) {
  last_failure_ = record.failure;
  if (last_failure_.empty()) last_saved_ = record.step;
  metrics_.saved(record);
  if (last_failure_.empty()) return;
  const std::string told = fmt::format("the checkpoint of step {} was not saved, training goes on: {}", record.step, record.failure);
  if (parts_.driver.rank() == 0)
    log::warn("{}", told);
  else
    log::info("{}", told);  // to its own file: it is the same for all
}

checkpoint::RunFacts Saves::facts() const {
  return {parts_.location.directory.filename(),
          to_hex(hash64(parts_.request.resolved_yaml)),
          parts_.request.version,
          parts_.config,
          {{"plan", parts_.planner->to_text()}},
          parts_.lossy_restores};
}

}  // namespace thinwire::trainer

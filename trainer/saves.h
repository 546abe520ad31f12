// When a run saves, beside training or not, and what it tells of each save. Every rank has one; all call it after the same steps.
#pragma once
#include <array>

#include "checkpoint/background_saver.h"
#include "trainer/host_memory.h"
#include "trainer/metrics.h"
#include "trainer/parts.h"

namespace thinwire::trainer {

class Saves {
 public:
  // The parts and the metrics must outlive it. `saved_step`: what the run was restored from.
  Saves(Parts& parts, Metrics& metrics, int64_t saved_step);

  // What is due after `step`, by checkpoint.async and checkpoint.when_busy. `wire_totals`: WireLedger::state().
  void save(int64_t step, std::array<int64_t, 4> wire_totals);
  // Returns when it is committed or has failed: before a run ends.
  void save_and_wait(int64_t step, std::array<int64_t, 4> wire_totals);
  // Tells of a save beside training that has ended; does not wait. Throws what ended it, where that is no failure of the disk.
  void poll();

  // Of the saves that have ended, on every rank alike.
  const std::string& last_failure() const { return last_failure_; }  // why the last one failed; empty: it is committed
  int64_t last_saved() const { return last_saved_; }                 // the newest that is committed; 0: none

 private:
  void begin(int64_t step, std::array<int64_t, 4>& wire_totals);
  bool any_rank_is_busy();
  void settle();  // waits for what is under way
  void tell(const SaveRecord& record);
  checkpoint::RunFacts facts() const;

  Parts& parts_;
  Metrics& metrics_;
  int64_t last_saved_;
  std::string last_failure_;
  HostMemory snapshot_{HostMemory::Kind::snapshot};
  double blocked_s_ = 0;               // by the save under way
  checkpoint::BackgroundSaver saver_;  // last: it reads the snapshot
};

}  // namespace thinwire::trainer

// What ranks tell one another after a step: their loss, and what all must act on together. Nobody waits for it on the way: a report is
// posted at the end of one step and read at the end of a later one, by which time it has arrived.
#pragma once
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "comm/driver.h"

namespace thinwire::trainer {

struct StepReport {
  double loss = 0;
  int32_t signal = 0;       // that asks this rank to stop; 0: none
  int32_t grown_slot = -1;  // whose residual has outgrown its bound; -1: none
};

// All ranks post and collect after the same steps.
class StepReports {
 public:
  explicit StepReports(comm::Driver& driver);
  ~StepReports() { driver_.settle(task_); }
  StepReports(const StepReports&) = delete;
  StepReports& operator=(const StepReports&) = delete;

  bool pending() const { return pending_; }
  void post(const StepReport& mine);  // nothing may be pending
  // By rank, until the next post(). Waits for those that have not arrived; throws what the driver throws.
  const std::vector<StepReport>& collect();

 private:
  comm::Driver& driver_;
  bool pending_ = false;
  std::vector<StepReport> reports_;
  std::vector<MutableBytes> into_;
  comm::Task task_;
};

}  // namespace thinwire::trainer

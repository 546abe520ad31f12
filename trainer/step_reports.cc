#include "trainer/step_reports.h"

#include "base/check.h"
#include "comm/collectives.h"

namespace thinwire::trainer {

StepReports::StepReports(comm::Driver& driver)
    : driver_(driver), reports_(static_cast<size_t>(driver.size())), into_(reports_.size()), task_("step report", [this](comm::Wire& wire) {
        const auto own = static_cast<size_t>(wire.rank());
        for (size_t r = 0; r < into_.size(); ++r) into_[r] = std::as_writable_bytes(std::span(&reports_[r], 1));
        comm::all_gather(wire, std::as_bytes(std::span(&reports_[own], 1)), into_);
        for (size_t r = 0; r < into_.size(); ++r) {
          if (into_[r].size() == sizeof(StepReport)) continue;
          wire.fail("rank " + std::to_string(wire.member(static_cast<int>(r))) + " sent " + std::to_string(into_[r].size()) + " bytes instead of " +
                        std::to_string(sizeof(StepReport)),
                    "step report");
        }
      }) {}

void StepReports::post(const StepReport& mine) {
  check(!pending_, "a report is collected before the next one");
  reports_[static_cast<size_t>(driver_.rank())] = mine;
  driver_.post(task_);
  pending_ = true;
}

const std::vector<StepReport>& StepReports::collect() {
  check(pending_, "what is collected was posted");
  driver_.wait(task_);
  pending_ = false;
  return reports_;
}

}  // namespace thinwire::trainer

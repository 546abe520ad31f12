#include "comm/patience.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace thinwire::comm {

std::string Stuck::text() const {
  if (messages_pass)
    return fmt::format("rank{} {} at work for {:g} s in {}", missing.size() == 1 ? "" : "s", fmt::join(missing, ", "), waited_s, what);
  return fmt::format("no message from rank{} {} for {:g} s in {}{}", missing.size() == 1 ? "" : "s", fmt::join(missing, ", "), waited_s,
                     what, purpose.empty() ? "" : fmt::format(" ({})", purpose));
}

void Patience::report_by(Report report) {
  const std::lock_guard lock(mutex_);
  report_ = std::move(report);
}

Diagnosis Patience::judge(const Stuck& stuck) const {
  Report report;
  {
    const std::lock_guard lock(mutex_);
    report = report_;
  }
  return report ? report(stuck) : Diagnosis{ExitCode::no_progress, stuck.text()};
}

}  // namespace thinwire::comm

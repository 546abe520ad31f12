#include "base/progress.h"

#include <fmt/format.h>

#include <cstdio>

namespace thinwire {

namespace {
// One that is closed or full ends no work.
void write_to_stderr(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }
}  // namespace

Progress::Progress(Amount amount, std::function<void(const std::string& line)> write, double every_s)
    : amount_(amount), write_(write ? std::move(write) : write_to_stderr), every_s_(every_s) {}

void Progress::tell(std::string_view work, double done, double all) {
  if (work != work_) {
    work_ = work;
    of_work_ = Stopwatch();
  }
  if (since_line_.seconds() < every_s_) return;
  since_line_ = Stopwatch();
  std::string line = fmt::format("{}: {}", work, amount_(done));
  if (all > 0) line += fmt::format(" of {} ({:.0f} %)", amount_(all), 100 * done / all);
  const double taken_s = of_work_.seconds();
  if (done > 0 && done < all && taken_s >= every_s_ / 2) line += fmt::format(", about {:.0f} s more", taken_s * (all - done) / done);
  write_(line);
}

}  // namespace thinwire

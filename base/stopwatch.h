// Wall-clock time, for metrics only: nothing that is computed depends on it.
#pragma once
#include <chrono>

namespace thinwire {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Adds its own lifetime to a total.
class TimeInto {
 public:
  explicit TimeInto(double& total_s) : total_s_(total_s) {}
  ~TimeInto() { total_s_ += watch_.seconds(); }
  TimeInto(const TimeInto&) = delete;
  TimeInto& operator=(const TimeInto&) = delete;

 private:
  double& total_s_;
  Stopwatch watch_;
};

}  // namespace thinwire

// Seconds that this thread computed, and the least of several: what others do on the machine counts as little as it can.
#pragma once
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <vector>

namespace thinwire::benchmarks {

// Of this thread alone: not the time that it waits for a core. Waiting for memory counts.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <class F>
double seconds_of(F&& f) {
  const double began = thread_seconds();
  f();
  return thread_seconds() - began;
}

// Keeps this thread on the core that it is on: a move would cost one measurement its caches. Without the right to do so, it stays free.
inline void stay_on_one_core() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(sched_getcpu(), &cores);
  sched_setaffinity(0, sizeof cores, &cores);
}

// Times several things against each other: each round times all of them in turn, so that what else the machine does hits all alike. The
// first round is not counted. Result: for each, its seconds by round.
template <class... F>
std::vector<std::vector<double>> interleaved(int rounds, F&&... f) {
  std::vector<std::vector<double>> seconds(sizeof...(f));
  for (int round = 0; round <= rounds; ++round) {
    size_t i = 0;
    const std::vector<double> now{f()...};
    for (const double s : now) {
      if (round > 0) seconds[i].push_back(s);
      ++i;
    }
  }
  return seconds;
}

inline double least(const std::vector<double>& seconds) { return *std::ranges::min_element(seconds); }

}  // namespace thinwire::benchmarks

#include "base/cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "base/memory.h"

namespace thinwire {

int bound_cores() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

double usable_cores() {
  const double bound = bound_cores();
  return std::min(bound, cgroup_limits().cpus.value_or(bound));
}

}  // namespace thinwire

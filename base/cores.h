// How many cores this process has.
#pragma once

namespace thinwire {

int bound_cores();      // that it may run on: of a process that is bound (mpirun, taskset) fewer than the host has
double usable_cores();  // those, or less where its cgroup has a quota

}  // namespace thinwire

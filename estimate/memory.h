// What a run takes in the memory of its hosts, by part.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/memory.h"
#include "estimate/subject.h"

namespace thinwire::estimate {

struct Part {
  std::string name;
  double bytes = 0;
  std::string lower;  // keys of the configuration that make it less
};

struct Memory {
  std::vector<Part> parts;    // of a rank, beside the process's base; none is empty
  double base_bytes = 0;      // of a process
  double rank_bytes = 0;      // sum of the parts
  double mapped_bytes = 0;    // files that are mapped: memory that the system takes back when it is needed, in no sum
  double loading_bytes = 0;   // of a rank: what its data take for a moment, before there is anything else
  double process_bytes = 0;   // at its peak
  int processes = 1;          // on a host
  double host_bytes = 0;      // of all of them
  double snapshot_bytes = 0;  // among the parts: the copy that a save beside training keeps
};
Memory memory_of(const Subject& subject);

// Why the run does not fit, with the largest parts and three knobs; empty where it does. `resident_bytes`: what each process of it on this
// host has already.
std::string why_not_fit(const Memory& memory, const AvailableMemory& available, double resident_bytes);

}  // namespace thinwire::estimate

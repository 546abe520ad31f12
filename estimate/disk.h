// What a checkpoint takes: in memory before it is coded, and on disk.
#pragma once
#include "estimate/subject.h"

namespace thinwire::estimate {

struct Disk {
  double state_bytes = 0;             // of all ranks, as it is in memory
  double state_of_rank_bytes = 0;     // of one
  double written_by_first_bytes = 0;  // coded by rank 0, which also writes what all ranks have alike: at most, in memory
  double coders_bytes = 0;            // what rank 0's threads need beside that
  double checkpoint_bytes = 0;        // on disk, all files: expected; of a chain the first, which is the largest
  double link_bytes = 0;              // of each that follows it in a chain of mode extreme: about; else 0
  int64_t kept = 0;                   // checkpoints on disk at once: those that stay, their bases, and one that is being written. At most
  double kept_bytes = 0;              // of these: at most
};
// Coded without loss a state shrinks by what its numbers allow; kExactShare is what weights and moments of training runs leave.
inline constexpr double kExactShare = 0.85;
Disk disk_of(const Subject& subject);

}  // namespace thinwire::estimate

// What a checkpoint takes: in memory before it is coded, and on disk.
#pragma once
#include "estimate/subject.h"

namespace thinwire::estimate {

struct Disk {
  double state_bytes = 0;             // of all ranks, as it is in memory
  double state_of_rank_bytes = 0;     // of one
  double written_by_first_bytes = 0;  // by rank 0, which also writes what all ranks have alike: at most, with what coding needs beside it
  double checkpoint_bytes = 0;        // on disk, all files: expected
  double kept_bytes = 0;              // of the checkpoints that stay, and one that is being written
};
// Coded without loss a state shrinks by what its numbers allow; kExactShare is what weights and moments of training runs leave.
inline constexpr double kExactShare = 0.85;
Disk disk_of(const Subject& subject);

}  // namespace thinwire::estimate

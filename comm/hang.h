// What it means that an operation waits in vain: who has come to it, who has not, and what those are at instead.
//
// Known from the flight records of the ranks (base/flight.h). Tasks of a lane are numbered alike on all ranks (driver.h), so a rank has
// come to an operation when its lane is on the wire within the task of that number, or is past it.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/flight.h"
#include "comm/patience.h"

namespace thinwire::comm {

struct Hang {
  std::vector<int> arrived, missing;
  bool out_of_step = false;  // ranks are in different operations
  std::string text;          // one paragraph for people: step, operation, who is missing, what those are at
};

// `records`: by rank, nothing where there is none to be read. `lane`: of `own`, whose operation it is (Driver's names of threads).
Hang explain_hang(const Stuck& stuck, int own, std::string_view lane, std::span<const std::optional<flight::Snapshot>> records,
                  int64_t now_us);

// The ranks that a message says are waited for in vain, ascending: one of Hang::text or Stuck::text, also within what another rank or a log
// says around it. None where it names none: ranks out of step, a rank that found itself standing still, other messages.
std::vector<int> missing_ranks(std::string_view message);

// "rank 2 on b is at: encode bucket 3 for 12 s", and what is known of its process.
std::string describe_rank(int rank, const std::optional<flight::Snapshot>& record, int64_t now_us, std::string_view thread = "training");

}  // namespace thinwire::comm

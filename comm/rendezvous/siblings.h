// The other ranks that a launcher has started on this host, as the system shows their processes: for messages about those that do not come.
#pragma once
#include <string>
#include <vector>

namespace thinwire::comm {

struct Sibling {
  int rank = 0;
  int process = 0;
  std::string program;  // at most 15 characters, as the system keeps it
  char state = '?';     // R, S, D, T (stopped), Z (dead)
};

// Children of this process's parent that have `rank_variable` in their environment, this process among them; by rank.
std::vector<Sibling> siblings(const char* rank_variable);

// "rank 1 (process 12, sleep) runs another program; rank 3 (process 14) is stopped": those that cannot come as they are. Empty: none.
std::string describe_absent(const std::vector<Sibling>& siblings, int own_process, int world);

}  // namespace thinwire::comm

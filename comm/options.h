// What a run may choose about communication. Described to users by the room that reads configurations; comm knows no YAML.
#pragma once
#include <cstdint>
#include <string>

namespace thinwire::comm {

struct CommOptions {
  std::string transport = "auto";  // auto | loopback | mpi | nccl
  double timeout_s = 60;           // the longest wait without any progress before peers count as lost
  int64_t lanes = 2;               // for bulk, each with a thread and a channel of its own
};

}  // namespace thinwire::comm

// Slurm's compact lists of hosts: "node[01-03,07],login".
#pragma once
#include <string>

namespace thinwire::comm {

// The first host of the list. ConfigError for what is no list.
std::string first_host(const std::string& node_list);

}  // namespace thinwire::comm

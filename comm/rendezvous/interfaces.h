// The addresses by which this host can be reached, for messages: what a library that chooses among them will find.
#pragma once
#include <string>
#include <vector>

namespace thinwire::comm {

// "eth0 10.0.0.3", "lo 127.0.0.1": of interfaces that are up, IPv4 first. Empty when the system does not say.
std::vector<std::string> network_interfaces();

}  // namespace thinwire::comm

// What a run may choose about communication. Described to users by the room that reads configurations; comm knows no YAML.
#pragma once
#include <cstdint>
#include <string>

namespace thinwire::comm {

struct GrpcOptions {
  std::string address = "auto";  // auto | an interface | an ip | a subnet: by which of this host's addresses peers reach it
  std::string ports = "any";     // any | FIRST-LAST: where it listens for them
  std::string store = "auto";    // auto: as the launcher says | HOST:PORT: where ranks meet
};

// The first and last port of GrpcOptions::ports; {0, 0} for any. ConfigError when it is neither.
struct PortRange {
  int first = 0, last = 0;
};
PortRange parse_ports(const std::string& text);

struct HostPort {
  std::string host;
  int port = 0;
};
// "host:29500", "[::1]:29500". ConfigError names `what`.
HostPort parse_host_port(const std::string& text, const std::string& what);

struct CommOptions {
  std::string transport = "auto";  // auto | loopback | mpi | nccl | grpc
  double timeout_s = 60;           // the longest wait without any progress before a run counts as hung
  double start_timeout_s = 300;    // the same until the first step is done, and until all ranks have met
  int64_t lanes = 2;               // for bulk, each with a thread and a channel of its own
  GrpcOptions grpc;
};

}  // namespace thinwire::comm

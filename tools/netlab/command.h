// What runs in the laboratory, and how it finds the hosts: by Open MPI's own settings, or by three variables.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "tools/netlab/hosts.h"

namespace thinwire::netlab {

// Comma separated, in the order of hosts. The network namespaces are files that nsenter --net= and run_on() take.
constexpr const char* kAddressesVariable = "THINWIRE_NETLAB_ADDRESSES";
constexpr const char* kInterfaceVariable = "THINWIRE_NETLAB_INTERFACE";
constexpr const char* kNetworksVariable = "THINWIRE_NETLAB_NETWORKS";

// The hosts as mpirun wants them: addresses, since nothing resolves names here, and one slot each. To be made before the Job, which holds
// it.
Descriptor make_hostfile(std::span<const Host> hosts);

// Within a Job: becomes the command, on the first host, in an environment by which mpirun spreads its ranks over the hosts, one after the
// other. Returns, with 126 or 127 as shells do, only if it cannot be started.
int run_command(std::span<const Host> hosts, const Descriptor& hostfile, const std::vector<std::string>& command);

// Anywhere within the laboratory: becomes `words`, joined and given to a shell as ssh does it, on the host with this number or address.
// ConfigError where there is none; returns as above.
int run_on(const std::string& host, const std::vector<std::string>& words);

}  // namespace thinwire::netlab

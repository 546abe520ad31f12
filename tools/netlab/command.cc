#include "tools/netlab/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "tools/netlab/job.h"

namespace thinwire::netlab {

namespace {

// What the first process of the job holds open, as a file.
std::string path_of(int fd) { return fmt::format("{}/fd/{}", kFirstProcess, fd); }

void set(const std::string& name, const std::string& value) { setenv(name.c_str(), value.c_str(), 1); }

void set_for_open_mpi(const std::string& hostfile_path) {
  set("OMPI_ALLOW_RUN_AS_ROOT", "1");
  set("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  const std::pair<const char*, std::string> settings[] = {
      {"orte_default_hostfile", hostfile_path},
      {"plm", "rsh"},
      {"plm_rsh_agent", fmt::format("{}/exe --on", kFirstProcess)},
      {"rmaps_base_mapping_policy", "node:OVERSUBSCRIBE"},
      {"hwloc_base_binding_policy", "none"},  // else each host binds its ranks to the same first cores
      {"mpi_yield_when_idle", "1"},
      {"pml", "ob1"},  // others know ways between processes of one kernel
      {"btl", "tcp,self"},
      {"btl_tcp_if_include", kInterface},
      {"oob_tcp_if_include", kInterface},
  };
  for (const auto& [name, value] : settings) set(fmt::format("OMPI_MCA_{}", name), value);
}

void set_for_all(std::span<const Host> hosts) {
  std::vector<std::string> addresses, networks;
  for (const Host& host : hosts) {
    addresses.push_back(host.address);
    networks.push_back(path_of(host.network.get()));
  }
  set(kAddressesVariable, join(addresses, ","));
  set(kNetworksVariable, join(networks, ","));
  set(kInterfaceVariable, kInterface);
}

int become(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const auto& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  const int error = errno;
  fmt::print(stderr, "[netlab] {}: {}\n", command[0], std::strerror(error));
  return error == ENOENT ? 127 : 126;
}

std::vector<std::string> split_variable(const char* name) {
  const char* value = std::getenv(name);
  if (!value) throw ConfigError(fmt::format("{} is not set: --on works within a command that netlab runs", name));
  std::vector<std::string> parts{""};
  for (const char* c = value; *c; ++c) {
    if (*c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += *c;
    }
  }
  return parts;
}
}  // namespace

Descriptor make_hostfile(std::span<const Host> hosts) {
  std::string text;
  for (const Host& host : hosts) text += host.address + " slots=1\n";
  Descriptor file(memfd_create("hostfile", MFD_CLOEXEC));
  if (file.get() < 0 || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw Error(ExitCode::other, fmt::format("a file of hosts cannot be made: {}", std::strerror(errno)));
  }
  return file;
}

int run_command(std::span<const Host> hosts, const Descriptor& hostfile, const std::vector<std::string>& command) {
  enter(hosts[0].network.get(), hosts[0].name);
  set_for_all(hosts);
  set_for_open_mpi(path_of(hostfile.get()));
  return become(command);
}

int run_on(const std::string& host, const std::vector<std::string>& words) {
  const auto addresses = split_variable(kAddressesVariable), networks = split_variable(kNetworksVariable);
  for (size_t i = 0; i < addresses.size() && i < networks.size(); ++i) {
    if (host != addresses[i] && host != std::to_string(i)) continue;
    const Descriptor network(open(networks[i].c_str(), O_RDONLY | O_CLOEXEC));
    enter(network.get(), fmt::format("host{}", i));
    return become({"/bin/sh", "-c", join(words, " ")});
  }
  throw ConfigError(
      fmt::format("--on: there is no host '{}'. The hosts are 0 to {}, or {}", host, addresses.size() - 1, join(addresses, ", ")));
}

}  // namespace thinwire::netlab

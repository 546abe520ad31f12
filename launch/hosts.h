// Hosts on which ranks are started over ssh.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::launch {

struct Host {
  std::string name;
  int slots = 1;
  bool operator==(const Host&) const = default;
};

// A line per host, as mpirun reads it: "node1 slots=4"; # begins a comment. ConfigError with file and line.
std::vector<Host> parse_hosts(std::string_view text, const std::string& file);
std::vector<Host> read_hosts(const std::string& file);
// So many ranks on the first hosts, each filled before the next. ConfigError when there are fewer slots.
std::vector<Host> fill(const std::vector<Host>& hosts, int ranks, const std::string& file);

// One word of a shell's command line that stands for exactly this text.
std::string quoted(const std::string& word);

}  // namespace thinwire::launch

#include "comm/rendezvous/node_list.h"

#include <fmt/format.h>

#include "base/error.h"

namespace thinwire::comm {

// Each bracket stands for its first number, or range, with its leading zeros; a list ends at a comma outside of brackets.
std::string first_host(const std::string& node_list) {
  std::string host;
  const auto refuse = [&] { throw ConfigError(fmt::format("'{}' is not a list of Slurm's, such as node[01-03,07]", node_list)); };
  for (size_t at = 0; at < node_list.size() && node_list[at] != ',';) {
    if (node_list[at] != '[') {
      if (node_list[at] == ']' || node_list[at] == ' ') refuse();
      host += node_list[at++];
      continue;
    }
    const size_t end = node_list.find(']', at);
    const size_t digits_end = node_list.find_first_not_of("0123456789", at + 1);
    if (end == std::string::npos || digits_end == at + 1 || digits_end > end ||
        std::string_view("-,]").find(node_list[digits_end]) == std::string_view::npos)
      refuse();
    host += node_list.substr(at + 1, digits_end - at - 1);
    at = end + 1;
  }
  if (host.empty()) refuse();
  return host;
}

}  // namespace thinwire::comm

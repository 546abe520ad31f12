#include "launch/hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace thinwire::launch {

namespace {
constexpr int kMostSlots = 4096;

Host parse_host(std::istringstream& words, std::string name, const std::string& where) {
  Host host{std::move(name)};
  if (host.name.front() == '-')
    throw ConfigError(fmt::format("{}: '{}' is not the name of a host", where, host.name));  // ssh would take it for an option
  for (std::string word; words >> word;) {
    constexpr std::string_view kSlots = "slots=";
    const std::string_view value = word.starts_with(kSlots) ? std::string_view(word).substr(kSlots.size()) : "";
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), host.slots);
    if (value.empty() || error != std::errc() || end != value.data() + value.size() || host.slots < 1 || host.slots > kMostSlots)
      throw ConfigError(fmt::format("{}: '{}' where slots=N may stand, such as node1 slots=4", where, word));
  }
  return host;
}
}  // namespace

std::vector<Host> parse_hosts(std::string_view text, const std::string& file) {
  std::vector<Host> hosts;
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (words >> name) hosts.push_back(parse_host(words, name, fmt::format("{}:{}", file, number)));
  }
  if (hosts.empty()) throw ConfigError(fmt::format("{}: names no host; a line per host, such as node1 slots=4", file));
  return hosts;
}

std::vector<Host> read_hosts(const std::string& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream) throw ConfigError(fmt::format("cannot read the hostfile {}", file));
  return parse_hosts(text.str(), file);
}

std::vector<Host> fill(const std::vector<Host>& hosts, int ranks, const std::string& file) {
  std::vector<Host> filled;
  int left = ranks;
  for (const Host& host : hosts) {
    if (left == 0) break;
    filled.push_back({host.name, std::min(host.slots, left)});
    left -= filled.back().slots;
  }
  if (left > 0) throw ConfigError(fmt::format("-n {} ranks, but the hosts of {} have {} slots", ranks, file, ranks - left));
  return filled;
}

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace thinwire::launch

#include "comm/options.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace thinwire::comm {

namespace {
std::optional<int> port_of(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535) return std::nullopt;
  return port;
}
}  // namespace

PortRange parse_ports(const std::string& text) {
  if (text == "any") return {};
  const size_t dash = text.find('-');
  const auto first = port_of(std::string_view(text).substr(0, dash));
  const auto last = dash == std::string::npos ? first : port_of(std::string_view(text).substr(dash + 1));
  if (!first || !last || *first > *last)
    throw ConfigError(fmt::format("'{}' is no range of ports; one looks like 40000-40100, or say any", text));
  return {*first, *last};
}

HostPort parse_host_port(const std::string& text, const std::string& what) {
  const size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  const auto port = colon == std::string::npos ? std::nullopt : port_of(std::string_view(text).substr(colon + 1));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    host.clear();
  }
  if (!port || host.empty())
    throw ConfigError(fmt::format("{}: '{}' is not HOST:PORT, such as node1:29500 or [fd00::1]:29500", what, text));
  return {host, *port};
}

}  // namespace thinwire::comm

#include "comm/rendezvous/interfaces.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "base/error.h"

namespace thinwire::comm {

namespace {
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::optional<SocketAddress> socket_address(const std::string& ip, int port) {
  SocketAddress made;
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  if (inet_pton(AF_INET, ip.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    std::memcpy(&made.storage, &v4, made.bytes = sizeof v4);
  } else if (inet_pton(AF_INET6, ip.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    std::memcpy(&made.storage, &v6, made.bytes = sizeof v6);
  } else {
    return std::nullopt;
  }
  return made;
}

std::string numeric(const sockaddr* address, socklen_t bytes) {
  char text[NI_MAXHOST] = {};
  return getnameinfo(address, bytes, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 ? text : "";
}

class Socket {
 public:
  Socket(int family, int type) : fd_(socket(family, type | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// Bytes of an address, and how many leading bits of it count.
bool is_in_subnet(const std::string& ip, const std::string& subnet, int bits) {
  std::array<uint8_t, 16> one = {}, other = {};
  const int family = subnet.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(family, ip.c_str(), one.data()) != 1 || inet_pton(family, subnet.c_str(), other.data()) != 1) return false;
  for (int bit = 0; bit < bits; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if (((one[static_cast<size_t>(bit / 8)] ^ other[static_cast<size_t>(bit / 8)]) & mask) != 0) return false;
  }
  return true;
}

std::optional<std::string> in_subnet(const std::string& wanted) {
  const size_t slash = wanted.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const std::string subnet = wanted.substr(0, slash);
  int bits = -1;
  const auto [end, error] = std::from_chars(wanted.data() + slash + 1, wanted.data() + wanted.size(), bits);
  const int most = subnet.find(':') == std::string::npos ? 32 : 128;
  if (!is_ip(subnet) || error != std::errc() || end != wanted.data() + wanted.size() || bits < 0 || bits > most) {
    throw ConfigError(fmt::format("comm.grpc.address: '{}' is no subnet; one looks like 10.0.0.0/8", wanted));
  }
  for (const auto& one : interfaces()) {
    if (is_in_subnet(one.address, subnet, bits)) return one.address;
  }
  return std::nullopt;
}
}  // namespace

std::vector<Interface> interfaces() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all(first, freeifaddrs);
  std::vector<Interface> found;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family || (at->ifa_flags & IFF_UP) == 0) continue;
      const std::string address = numeric(at->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
      if (!address.empty()) found.push_back({at->ifa_name, address, family == AF_INET6});
    }
  }
  return found;
}

std::vector<std::string> network_interfaces() {
  std::vector<std::string> found;
  for (const auto& one : interfaces()) found.push_back(one.name + " " + one.address);
  return found;
}

std::vector<std::string> resolve(const std::string& host) {
  addrinfo hints = {}, *first = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &first);
  if (error != 0) throw CommError(fmt::format("cannot find the host '{}': {}", host, gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(first, freeaddrinfo);
  std::vector<std::string> ips;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* at = first; at != nullptr; at = at->ai_next) {
      if (at->ai_family != family) continue;
      const std::string ip = numeric(at->ai_addr, at->ai_addrlen);
      if (!ip.empty() && std::find(ips.begin(), ips.end(), ip) == ips.end()) ips.push_back(ip);
    }
  }
  if (ips.empty()) throw CommError(fmt::format("the host '{}' has no IP address", host));
  return ips;
}

bool is_ip(const std::string& text) { return socket_address(text, 0).has_value(); }
bool is_loopback(const std::string& ip) { return ip == "::1" || ip.starts_with("127."); }

std::string address_towards(const std::string& ip) {
  const auto there = socket_address(ip, 9);  // nothing is sent
  if (!there) return {};
  const Socket udp(there->storage.ss_family, SOCK_DGRAM);
  SocketAddress here;
  here.bytes = sizeof here.storage;
  if (udp.fd() < 0 || connect(udp.fd(), there->get(), there->bytes) != 0 ||
      getsockname(udp.fd(), reinterpret_cast<sockaddr*>(&here.storage), &here.bytes) != 0) {
    return {};
  }
  return numeric(here.get(), here.bytes);
}

std::string with_port(const std::string& ip, int port) {
  return ip.find(':') == std::string::npos ? fmt::format("{}:{}", ip, port) : fmt::format("[{}]:{}", ip, port);
}

std::string why_not_listen(const std::string& ip, int port) {
  const auto at = socket_address(ip, port);
  if (!at) return "it is not an IP address";
  const Socket tcp(at->storage.ss_family, SOCK_STREAM);
  const int yes = 1;
  if (tcp.fd() < 0) return std::strerror(errno);
  setsockopt(tcp.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(tcp.fd(), at->get(), at->bytes) == 0 && listen(tcp.fd(), 1) == 0) return {};
  return errno == EADDRINUSE ? "another process listens there" : std::strerror(errno);
}

std::string own_address(const std::string& wanted, const std::string& meeting_ip, bool has_several_hosts) {
  const auto all = interfaces();
  if (wanted == "auto") {
    const std::string towards = address_towards(meeting_ip);
    if (!towards.empty() && !(has_several_hosts && is_loopback(towards))) return towards;
    for (const auto& one : all) {
      if (!is_loopback(one.address) && !one.address.starts_with("fe80:")) return one.address;
    }
    if (!towards.empty()) return towards;
    throw CommError(fmt::format("there is no way from this host to {}, where ranks meet; its interfaces are {}", meeting_ip,
                                fmt::join(network_interfaces(), ", ")));
  }
  if (is_ip(wanted)) return wanted;
  if (const auto ip = in_subnet(wanted)) return *ip;
  for (const auto& one : all) {
    if (one.name == wanted) return one.address;
  }
  throw ConfigError(
      fmt::format("comm.grpc.address: no interface of this host is '{}'; there are {}", wanted, fmt::join(network_interfaces(), ", ")));
}

}  // namespace thinwire::comm

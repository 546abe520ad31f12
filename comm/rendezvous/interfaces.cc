#include "comm/rendezvous/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#include <memory>

namespace thinwire::comm {

std::vector<std::string> network_interfaces() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all(first, freeifaddrs);
  std::vector<std::string> found;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family || (at->ifa_flags & IFF_UP) == 0) continue;
      const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      char address[NI_MAXHOST] = {};
      if (getnameinfo(at->ifa_addr, length, address, sizeof address, nullptr, 0, NI_NUMERICHOST) != 0) continue;
      found.push_back(std::string(at->ifa_name) + " " + address);
    }
  }
  return found;
}

}  // namespace thinwire::comm

// The addresses by which this host can be reached: for messages, and to choose among them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::comm {

struct Interface {
  std::string name, address;  // "eth0", "10.0.0.3"
  bool is_ipv6 = false;
};
// Of interfaces that are up, IPv4 first. Empty when the system does not say.
std::vector<Interface> interfaces();
// "eth0 10.0.0.3", "lo 127.0.0.1".
std::vector<std::string> network_interfaces();

// Below, an ip is a literal: "10.0.0.3", "fe80::1".
// The addresses of a host name or literal, IPv4 first. CommError when there is none.
std::vector<std::string> resolve(const std::string& host);
bool is_ip(const std::string& text);
bool is_loopback(const std::string& ip);
// The own address from which packets to that one leave; empty when there is no way there.
std::string address_towards(const std::string& ip);
std::string with_port(const std::string& ip, int port);  // "10.0.0.3:4000", "[fe80::1]:4000"
// Why nothing can listen there; empty when it can.
std::string why_not_listen(const std::string& ip, int port);

// The own address that peers shall use: `wanted` is an interface's name, an ip, a subnet ("10.0.0.0/8"), or "auto": that from which packets
// to `meeting_ip` leave, or, where others on other hosts could not reach that one, the first that is no loopback. ConfigError names what
// there is.
std::string own_address(const std::string& wanted, const std::string& meeting_ip, bool has_several_hosts);

}  // namespace thinwire::comm

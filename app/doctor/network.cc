#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "app/doctor/checks.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/grpc/grpc.h"
#include "comm/options.h"
#include "comm/rendezvous/interfaces.h"

namespace thinwire::app::doctor {

namespace {

constexpr const char* kNetwork = "network";

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream words(list);
  for (std::string part; std::getline(words, part, ',');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::string known_interfaces() { return join(comm::network_interfaces(), ", "); }

// NCCL and Gloo: beginnings of names; with = in front whole ones; with ^ those that are not to be used.
bool names_an_interface(std::string pattern) {
  if (pattern.starts_with("^")) return true;
  const bool whole = pattern.starts_with("=");
  if (whole) pattern.erase(0, 1);
  const auto all = comm::interfaces();
  return std::any_of(all.begin(), all.end(), [&](const auto& one) { return whole ? one.name == pattern : one.name.starts_with(pattern); });
}

// Open MPI: whole names, or subnets.
bool names_a_network(const std::string& text) {
  const auto all = comm::interfaces();
  if (std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.name == text; })) return true;
  try {
    return text.find('/') != std::string::npos && !comm::own_address(text, "", false).empty();
  } catch (const Error&) {
    return false;
  }
}

void check_variable(const char* variable, bool (*exists)(const std::string&), Findings& findings) {
  const auto value = comm::environment_variable(variable);
  if (!value || value->empty()) return;
  for (const std::string& part : parts_of(*value)) {
    if (exists(part))
      findings.push_back({kNetwork, variable, part});
    else
      findings.push_back(bad(ExitCode::comm, kNetwork, variable,
                             fmt::format("'{}' is no interface of this host, which has {}", part, known_interfaces()),
                             fmt::format("export {}=NAME of one of these, or unset {}", variable, variable)));
  }
}

Finding check_host_name() {
  const std::string host = log::host_name();
  try {
    const auto ips = comm::resolve(host);
    if (std::any_of(ips.begin(), ips.end(), [](const auto& ip) { return !comm::is_loopback(ip); }))
      return {kNetwork, "host name", host + " is " + join(ips, ", ")};
    return note(kNetwork, "host name", fmt::format("{} is {}: other hosts cannot reach that", host, join(ips, ", ")),
                "give it its address in /etc/hosts, or set comm.grpc.address to an interface");
  } catch (const Error& e) {
    return note(kNetwork, "host name", e.what(), fmt::format("put a line into /etc/hosts: ADDRESS {}", host));
  }
}

// Where a run listens: the address that peers are told, and there any port or those of comm.grpc.ports.
void check_listening(const Patient& patient, Findings& findings) {
  const auto& grpc = patient.options.comm.grpc;
  std::string ip = "127.0.0.1";
  try {
    if (grpc.address != "auto") ip = comm::own_address(grpc.address, ip, true);
  } catch (const Error& e) {
    findings.push_back(bad(e.code(), kNetwork, "comm.grpc.address", e.what(), "set comm.grpc.address to one of these, or to auto"));
    return;
  }
  const auto [first, last] = comm::parse_ports(grpc.ports);
  std::string why;
  int port = first;
  for (; port <= last; ++port) {
    why = comm::why_not_listen(ip, port);
    if (why.empty()) break;
  }
  if (why.empty())
    findings.push_back({kNetwork, "listening", fmt::format("{} can be listened at", first == 0 ? ip : comm::with_port(ip, port))});
  else
    findings.push_back(bad(ExitCode::comm, kNetwork, "listening", fmt::format("no port of {}: {}", grpc.ports, why),
                           "set comm.grpc.ports to others, or to any"));
}

// The port at which rank 0 lets the others find it.
void check_meeting(const Patient& patient, Findings& findings) {
  if (patient.transport != "grpc" || patient.environment.world == 1) return;
  try {
    const comm::Meeting meeting = comm::meeting_of(patient.environment, patient.options.comm.grpc);
    const std::string at = fmt::format("{}:{} ({})", meeting.host, meeting.port, meeting.source);
    const auto ips = comm::resolve(meeting.host);
    if (patient.environment.rank != 0) return findings.push_back({kNetwork, "meeting", at + " is " + ips.front()});
    std::string why;
    for (int i = 0; i < meeting.num_ports; ++i) {
      why = comm::why_not_listen(ips.front(), meeting.port + i);
      if (why.empty()) return findings.push_back({kNetwork, "meeting", at + ", which is free"});
    }
    findings.push_back(bad(ExitCode::comm, kNetwork, "meeting", fmt::format("{}: {}", at, why),
                           "another MASTER_PORT or --rendezvous, or end what listens there"));
  } catch (const Error& e) {
    findings.push_back(bad(e.code(), kNetwork, "meeting", e.what(), "docs/launch.md lists what launchers set"));
  }
}

}  // namespace

Findings check_network(const Patient& patient) {
  Findings findings;
  const std::string interfaces = known_interfaces();
  findings.push_back(interfaces.empty() ? note(kNetwork, "interfaces", "none is up", "ip link set lo up")
                                        : Finding{kNetwork, "interfaces", interfaces});
  findings.push_back(check_host_name());
  const auto by_beginning = +[](const std::string& text) { return names_an_interface(text); };
  for (const char* variable : {"NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"}) check_variable(variable, by_beginning, findings);
  for (const char* variable : {"OMPI_MCA_btl_tcp_if_include", "OMPI_MCA_oob_tcp_if_include"})
    check_variable(variable, names_a_network, findings);
  check_listening(patient, findings);
  check_meeting(patient, findings);
  return findings;
}

}  // namespace thinwire::app::doctor

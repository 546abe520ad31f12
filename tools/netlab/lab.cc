#include "tools/netlab/lab.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <span>

#include "tools/netlab/command.h"
#include "tools/netlab/job.h"
#include "tools/netlab/measure.h"
#include "tools/netlab/precedence.h"
#include "tools/netlab/switch.h"

namespace thinwire::netlab {

namespace {

std::optional<Time> earlier(std::optional<Time> a, std::optional<Time> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// Packets that come out within so short a time are handed over together: waking for each would cost more than carrying them.
constexpr std::chrono::microseconds kLeastSleep{100};

void wait_for(std::vector<pollfd>& descriptors, std::optional<Time> until) {
  timespec timeout{};
  if (until) {
    const int64_t ns = std::max<std::chrono::nanoseconds>(*until - Clock::now(), kLeastSleep).count();
    timeout = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  ppoll(descriptors.data(), descriptors.size(), until ? &timeout : nullptr, nullptr);
}

int carry_until_ended(std::span<const Host> hosts, Switch& wires, Job& job) {
  std::vector<pollfd> descriptors;
  for (const Host& host : hosts) descriptors.push_back({host.packets.get(), POLLIN, 0});
  descriptors.push_back({job.signals(), POLLIN, 0});
  while (true) {
    wait_for(descriptors, earlier(wires.next(), job.next_deadline()));
    const Time now = Clock::now();
    for (size_t i = 0; i < hosts.size(); ++i) {
      if ((descriptors[i].revents & POLLIN) != 0) wires.receive(i, now);
      if ((descriptors[i].revents & POLLERR) != 0) descriptors[i].fd = -1;  // somebody in there has removed the interface
    }
    wires.forward(now);
    if (descriptors.back().revents != 0) {
      if (const auto code = job.collect(now)) return *code;
    }
    job.keep_deadlines(now);
  }
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void report(std::span<const Host> hosts, const Switch& wires, double wall_s) {
  for (size_t i = 0; i < hosts.size(); ++i) {
    const auto& of_host = wires.counters(i);
    fmt::print(stderr, "[netlab] {} {} sent {} bytes in {} packets; {} lost, {} overran a queue, {} cut off\n", hosts[i].name,
               hosts[i].address, of_host.bytes, of_host.packets, of_host.lost, of_host.overran, of_host.cut);
  }
  fmt::print(stderr, "[netlab] the wires took {:.2f} s of CPU in {:.1f} s\n", cpu_seconds(), wall_s);
}

}  // namespace

int run(const Arguments& arguments) {
  // A loss is of one segment, so there they come one by one. Elsewhere they stay together, as between a kernel and a card that cuts them.
  const auto segmentation = arguments.wire.loss == 0 ? Segmentation::offloaded : Segmentation::none;
  const auto hosts = make_hosts(arguments.hosts, arguments.mtu_bytes, segmentation);
  const Time start = Clock::now();
  Switch wires(hosts, segmentation, arguments.wire, arguments.seed, arguments.cuts, start);
  std::optional<Time> deadline;
  if (arguments.timeout_s) deadline = start + std::chrono::nanoseconds(static_cast<int64_t>(1e9 * *arguments.timeout_s));
  const Descriptor hostfile = make_hostfile(hosts);
  const auto body = [&] {
    return arguments.measure ? measure(hosts[0], hosts[1], arguments.wire) : run_command(hosts, hostfile, arguments.command);
  };
  Job job(body, deadline);
  take_precedence();
  const int code = carry_until_ended(hosts, wires, job);
  report(hosts, wires, std::chrono::duration<double>(Clock::now() - start).count());
  return code;
}

}  // namespace thinwire::netlab

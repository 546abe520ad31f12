#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <thread>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/group.h"
#include "comm/grpc/channel.h"
#include "comm/grpc/grpc.h"
#include "comm/grpc/link_server.h"
#include "comm/rendezvous/interfaces.h"
#include "comm/rendezvous/meeting.h"

namespace thinwire::comm {

namespace {
constexpr double kPeace_s = 5;    // how long an end in peace waits for peers to end too
constexpr double kAwaited_s = 1;  // and for a call that is still on its way

// Rank 0 keeps the store until all are joined.
struct Met {
  std::unique_ptr<LinkServer> server;
  Roster roster;
  std::unique_ptr<StoreServer> store;
};

// Of this host: by IPv6, which IPv4 comes with, where the system has it.
std::string every_address() { return why_not_listen("::", 0).empty() ? "::" : "0.0.0.0"; }

Met find_peers(const LaunchEnvironment& environment, const CommOptions& options) {
  if (environment.world == 1) {
    Met met{std::make_unique<LinkServer>(0, 1, "127.0.0.1", PortRange{}), {"alone", {}}, nullptr};
    met.roster.members.push_back({"127.0.0.1", met.server->port(), log::host_name()});
    return met;
  }
  const Meeting meeting = meeting_of(environment, options.grpc);
  const Stopwatch waited;
  Met met;
  if (environment.rank == 0)
    met.store = std::make_unique<StoreServer>(meeting, meeting.is_local ? resolve(meeting.host).front() : every_address());
  double report_s = 3;
  Store store(meeting, options.start_timeout_s, [&](const std::string& why, double waited_s) {
    if (waited_s < report_s) return;
    log::warn("waiting for rank 0's store at {} ({:.0f} s of {:g} s): {}", with_port(meeting.host, meeting.port), waited_s,
              options.start_timeout_s, why);
    report_s = waited_s + 10;
  });
  const std::string ip = own_address(options.grpc.address, store.ip(), !meeting.is_local && environment.local_world < environment.world);
  met.server = std::make_unique<LinkServer>(environment.rank, environment.world, ip, parse_ports(options.grpc.ports));
  met.roster = meet(store, environment.rank, environment.world, {ip, met.server->port(), log::host_name()},
                    std::max(1.0, options.start_timeout_s - waited.seconds()));
  met.server->admit(met.roster.session);
  return met;
}

class GrpcTransport final : public Transport {
 public:
  GrpcTransport(const LaunchEnvironment& environment, const CommOptions& options) : rank_(environment.rank), world_(environment.world) {
    Met met = find_peers(environment, options);
    server_ = std::move(met.server);
    roster_ = std::move(met.roster);
    Group everyone;
    everyone.members.resize(static_cast<size_t>(world_));
    std::iota(everyone.members.begin(), everyone.members.end(), 0);
    presence_ = open_line(everyone, "presence");
    try {
      await_presence(options.start_timeout_s);
    } catch (...) {
      end();
      throw;
    }
  }
  ~GrpcTransport() override { end(); }

  int world_rank() const override { return rank_; }
  int world_size() const override { return world_; }
  std::string_view name() const override { return "grpc"; }

  std::unique_ptr<Channel> open(const Group& group, std::string_view name) override {
    auto line = open_line(group, name);
    return std::make_unique<GrpcChannel>(std::move(line), presence_, group, index_in(group, rank_, world_));
  }

 private:
  // The k-th opening of a member meets the k-th opening of the others. Of two ranks the higher one calls.
  std::shared_ptr<Line> open_line(const Group& group, std::string_view name) {
    const int index = index_in(group, rank_, world_);
    const std::string members = to_hex(hash64(bytes_of(std::span(group.members))));
    const std::string of = fmt::format("{}/{}/{}", group.epoch, members, name);
    check(of.size() < kMostTextBytes / 2, "a channel's name is short");
    const int opening = openings_[of]++;
    auto line = std::make_shared<Line>(
        LineIdentity{roster_.session, fmt::format("{}/{}", of, opening), log::host_name(), group.members, index, alive_});
    std::erase_if(lines_, [](const auto& one) { return one.use_count() == 1 && one->has_no_future(); });
    lines_.push_back(line);
    for (int peer = 0; peer < static_cast<int>(group.members.size()); ++peer) {
      const int other = group.members[static_cast<size_t>(peer)];
      const Member& at = roster_.members[static_cast<size_t>(other)];
      if (other < rank_) line->connect(peer, connect_to(at.ip, at.port));
      if (other > rank_) server_->expect(line, other, peer);
    }
    return line;
  }

  void await_presence(double limit_s) {
    const Stopwatch waited;
    for (;;) {
      if (const auto failure = presence_->failure()) {
        throw CommError(fmt::format("{}; this host's interfaces are {}; if it is the wrong one, set comm.grpc.address", failure->why,
                                    fmt::join(network_interfaces(), ", ")));
      }
      const auto absent = presence_->not_greeted();
      if (absent.empty()) return;
      if (waited.seconds() > limit_s) {
        const Member& first = roster_.members[static_cast<size_t>(absent.front())];
        throw CommError(fmt::format(
            "no connection to rank{} {} within {:g} s, although all have met; the first listens at {} on {}, this one at {}; if these "
            "cannot reach each other, set comm.grpc.address",
            absent.size() == 1 ? "" : "s", fmt::join(absent, ","), limit_s, with_port(first.ip, first.port), first.host,
            with_port(roster_.members[static_cast<size_t>(rank_)].ip, server_->port())));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  // In peace all part at about the same time; after a failure nobody waits for anybody.
  void end() noexcept {
    const Stopwatch waited;
    const double limit_s = presence_->failure() ? 0.2 : kPeace_s;
    const auto wait_while = [&](bool (Line::*is_so)() const, bool wanted, double most_s) {
      const auto is_one = [&](const auto& line) { return (line.get()->*is_so)() == wanted; };
      while (std::any_of(lines_.begin(), lines_.end(), is_one) && waited.seconds() < most_s)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    };
    wait_while(&Line::is_awaited, true, std::min(limit_s, kAwaited_s));  // a bye here would overtake what is said there
    presence_->close(limit_s);
    wait_while(&Line::is_over, false, limit_s);
    for (const auto& line : lines_) server_->forget(*line);
    for (const auto& line : lines_) line->finish();
    server_.reset();
    while (alive_.use_count() > 1 + static_cast<long>(lines_.size()) && waited.seconds() < 2 * kPeace_s)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  const int rank_, world_;
  std::unique_ptr<LinkServer> server_;
  Roster roster_;
  std::map<std::string, int> openings_;
  const std::shared_ptr<void> alive_ = std::make_shared<int>();  // held by every stream that gRPC's threads still work for
  std::vector<std::shared_ptr<Line>> lines_;
  std::shared_ptr<Line> presence_;
};
}  // namespace

Meeting meeting_of(const LaunchEnvironment& environment, const GrpcOptions& options) {
  if (options.store != "auto") {
    const HostPort at = parse_host_port(options.store, "comm.grpc.store");
    const std::string run = environment.meeting ? environment.meeting->run : "comm.grpc.store";
    const bool is_local = at.host == "localhost" || is_loopback(at.host);
    return {.host = at.host, .port = at.port, .run = run, .source = "comm.grpc.store", .is_local = is_local};
  }
  if (environment.meeting) return *environment.meeting;
  throw ConfigError(fmt::format(
      "comm.transport: grpc needs to know where the {} ranks of {} meet: set MASTER_ADDR and MASTER_PORT to a host and a free port of "
      "rank 0, or comm.grpc.store: HOST:PORT; `thinwire launch` and torchrun do so",
      environment.world, environment.source.empty() ? "this run" : environment.source));
}

std::unique_ptr<Transport> make_grpc_transport(const LaunchEnvironment& environment, const CommOptions& options) {
  return std::make_unique<GrpcTransport>(environment, options);
}

}  // namespace thinwire::comm

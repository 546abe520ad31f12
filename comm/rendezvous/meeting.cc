#include "comm/rendezvous/meeting.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/rendezvous/interfaces.h"

namespace thinwire::comm {

namespace {
constexpr double kFirstReport_s = 3, kReportEvery_s = 10;
constexpr const char* kRoster = "roster";

std::string key_of(int rank) { return "rank/" + std::to_string(rank); }

std::string random_secret() {
  std::random_device device;
  std::string secret;
  for (int i = 0; i < 4; ++i) secret += fmt::format("{:08x}", device());
  return secret;
}

std::string ranks(const std::vector<int>& missing) {
  return fmt::format("rank{} {}", missing.size() == 1 ? "" : "s", fmt::join(missing, ","));
}

nlohmann::json to_json(const Member& member) { return {{"ip", member.ip}, {"port", member.port}, {"host", member.host}}; }

Member member_of(const nlohmann::json& json) {
  Member member{json.at("ip").get<std::string>(), json.at("port").get<int>(), json.at("host").get<std::string>()};
  if (!is_ip(member.ip) || member.port < 1 || member.port > 65535 || member.host.size() > 256)
    throw CorruptData("an address that cannot be");
  return member;
}

// Rank 0 alone. Asks for the missing in turn, waiting for the first of them.
std::vector<std::string> collect(Store& store, int world, double limit_s) {
  const Stopwatch waited;
  double report_s = kFirstReport_s;
  std::vector<std::string> said(static_cast<size_t>(world));
  for (;;) {
    std::vector<int> missing;
    for (int rank = 0; rank < world; ++rank) {
      auto& at = said[static_cast<size_t>(rank)];
      if (at.empty()) at = store.get(key_of(rank), missing.empty() ? std::min(1.0, report_s) : 0).value_or("");
      if (at.empty()) missing.push_back(rank);
    }
    if (missing.empty()) return said;
    if (waited.seconds() > limit_s) {
      throw CommError(fmt::format(
          "{} of {} did not come to {} within {:.0f} s; see whether they were started, and whether their hosts can reach that address",
          ranks(missing), world, store.address(), limit_s));
    }
    if (waited.seconds() >= report_s) {
      log::info("waiting for {} of {} at {} ({:.0f} s of {:.0f} s)", ranks(missing), world, store.address(), waited.seconds(), limit_s);
      report_s = waited.seconds() + kReportEvery_s;
    }
  }
}

void publish(Store& store, int world, double limit_s) {
  Roster roster{random_secret(), {}};
  try {
    for (const std::string& text : collect(store, world, limit_s)) roster.members.push_back(member_of(nlohmann::json::parse(text)));
    store.set(kRoster, encode(roster));
  } catch (const Error& e) {
    store.set(kRoster, nlohmann::json{{"refused", e.what()}}.dump());
    throw;
  }
}
}  // namespace

std::string encode(const Roster& roster) {
  nlohmann::json members = nlohmann::json::array();
  for (const auto& member : roster.members) members.push_back(to_json(member));
  return nlohmann::json{{"session", roster.session}, {"members", members}}.dump();
}

Roster parse_roster(const std::string& text, int world) {
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.contains("refused")) throw CommError("rank 0: " + json.at("refused").get<std::string>());
    Roster roster{json.at("session").get<std::string>(), {}};
    for (const auto& member : json.at("members")) roster.members.push_back(member_of(member));
    if (roster.members.size() != static_cast<size_t>(world)) {
      throw CommError(fmt::format("rank 0 counts {} ranks, but this one was told of {}: all must be started with one world size",
                                  roster.members.size(), world));
    }
    return roster;
  } catch (const nlohmann::json::exception& e) {
    throw CorruptData(fmt::format("the roster is no list of ranks: {}", e.what()));
  }
}

Roster meet(Store& store, int rank, int world, const Member& self, double limit_s) {
  if (const int64_t claims = store.add("claims/" + std::to_string(rank), 1); claims != 1) {
    const std::string other = store.get(key_of(rank), 1).value_or("{}");
    throw CommError(fmt::format(
        "two processes say that they are rank {} of {}: this one (pid {} on {}), and {}; start each rank once, under a run of its own",
        rank, world, getpid(), self.host, other));
  }
  store.set(key_of(rank), to_json(self).dump());
  if (rank == 0) publish(store, world, limit_s);
  constexpr double kGrace_s = 10;  // rank 0 gives up first, and says why
  const auto roster = store.get(kRoster, limit_s + kGrace_s);
  if (!roster) throw CommError(fmt::format("rank 0 did not say within {:g} s who is there", limit_s + kGrace_s));
  return parse_roster(*roster, world);
}

}  // namespace thinwire::comm

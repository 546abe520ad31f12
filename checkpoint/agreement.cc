#include "checkpoint/agreement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>

#include "base/flight.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"

namespace thinwire::checkpoint {
namespace {

constexpr auto kStillAtIt = std::chrono::milliseconds(500);  // well below any sensible comm.timeout
constexpr size_t kMaxTextBytes = 60'000;

using Messages = std::vector<std::vector<std::byte>>;

Messages gather(comm::Driver& driver, const std::string& what, ConstBytes mine, size_t max_bytes_each) {
  Messages all;
  driver.run(
      "checkpoint: " + what, [&](comm::Wire& wire) { all = comm::all_gather(wire, mine, max_bytes_each); }, driver.background_lane());
  return all;
}

bool is_at_work(const std::vector<std::byte>& flag) { return flag.size() != 1 || flag[0] == std::byte{0}; }

// Every rank says whether it has done its work. The patience with disks ends on all ranks at about the same time: the first to find out
// tells.
bool somebody_works(comm::Driver& driver, const std::string& what, bool done, double worked_s) {
  const std::array<std::byte, 1> mine = {std::byte{done}};
  std::vector<int> busy;
  const auto ask = [&](comm::Wire& wire) {
    const Messages all = comm::all_gather(wire, mine, mine.size());
    for (size_t member = 0; member < all.size(); ++member) {
      if (is_at_work(all[member])) busy.push_back(static_cast<int>(member));
    }
    if (!busy.empty() && worked_s > driver.patience().disk_timeout_s()) wire.give_up_on(busy, what, worked_s);
  };
  driver.run("checkpoint: " + what, ask, driver.background_lane());
  return !busy.empty();
}

RankResult attempt(const std::function<std::string()>& work) {
  try {
    return {true, work()};
  } catch (const std::exception& e) {
    return {false, e.what()};
  }
}

// Until no rank is working any more.
RankResult finish_together(comm::Driver& driver, const std::string& what, std::future<RankResult>& mine) {
  const Stopwatch worked;
  while (somebody_works(driver, what, mine.wait_for(kStillAtIt) == std::future_status::ready, worked.seconds())) {
  }
  return mine.get();
}

}  // namespace

std::vector<RankResult> together(comm::Driver& driver, Worker& worker, const std::string& what, const std::function<std::string()>& work) {
  auto log = log::current();
  std::future<RankResult> mine = worker.run([&work, &what, log, record = flight::current()] {
    log::adopt(log);
    flight::adopt(record, "disk");
    const flight::Scope noted(flight::Kind::checkpoint, what);
    return attempt(work);
  });
  const RankResult own = finish_together(driver, what, mine);
  std::string message(1, own.ok ? '+' : '-');
  message += own.text.substr(0, kMaxTextBytes);
  std::vector<RankResult> results;
  for (const std::vector<std::byte>& one : gather(driver, what, bytes_of(std::string_view(message)), kMaxTextBytes + 1)) {
    const std::string_view text(reinterpret_cast<const char*>(one.data()), one.size());
    if (text.empty()) throw CommError(fmt::format("checkpoint: {}: rank {} sent an empty report", what, results.size()));
    results.push_back({text.front() == '+', std::string(text.substr(1))});
  }
  return results;
}

void throw_if_any_failed(const std::vector<RankResult>& results, const std::string& what) {
  const auto failed = std::find_if(results.begin(), results.end(), [](const RankResult& result) { return !result.ok; });
  if (failed == results.end()) return;
  const bool everywhere =
      std::all_of(results.begin(), results.end(), [&](const RankResult& result) { return !result.ok && result.text == failed->text; });
  std::vector<size_t> ranks;
  for (size_t rank = 0; rank < results.size(); ++rank) {
    if (!results[rank].ok) ranks.push_back(rank);
  }
  const std::string who = everywhere ? "" : fmt::format("rank{} {}: ", ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", "));
  throw CheckpointError(fmt::format("{}: {}{}", what, who, failed->text));
}

void not_shared(const std::filesystem::path& path) {
  throw CheckpointError(
      fmt::format("the host {} does not see {}: run.dir must be on storage that every host shares", log::host_name(), path.string()));
}

}  // namespace thinwire::checkpoint

// Work that all ranks do at the same time, and of which all learn how it went everywhere.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/worker.h"
#include "comm/driver.h"

namespace thinwire::checkpoint {

struct RankResult {
  bool ok = false;
  std::string text;  // what the work returned, or why it failed
};

// Runs `work` on every rank and gives every rank everyone's result, by rank. An exception of `work` is a result that is not ok.
//
// While disks are slow no message would pass, and a peer that waits for longer than the wire's timeout gives up: so the work runs on
// another thread, `worker`, while ranks keep telling each other, on the driver's background lane, that they are still at it. Throws
// CommError when a peer is lost, or still at it after driver.patience().disk_timeout_s(). Texts are cut to 60 kB. `what` is for messages.
std::vector<RankResult> together(comm::Driver& driver, Worker& worker, const std::string& what, const std::function<std::string()>& work);

// CheckpointError with the ranks that failed and the first one's text, the same on every rank.
void throw_if_any_failed(const std::vector<RankResult>& results, const std::string& what);

// CheckpointError: this rank's host does not see what another has written there.
[[noreturn]] void not_shared(const std::filesystem::path& path);

}  // namespace thinwire::checkpoint

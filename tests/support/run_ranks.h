// Ranks as threads, for tests: run_ranks(4, [](Transport& transport) { ... }) runs the body once per rank over loopback.
//
// When one rank throws, all channels are aborted so that nobody waits for it, and the first exception is rethrown as an Error that names
// its rank and keeps its exit code: the first that is no CommError, if there is one, since a peer may find a rank gone before that rank has
// said why. GoogleTest's EXPECT_* may be used in the body; ASSERT_* would only leave the body.
#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "comm/loopback/loopback.h"

namespace thinwire::test {

inline void run_ranks(int num_ranks, const std::function<void(comm::Transport&)>& body) {
  const auto hub = comm::make_loopback_hub(num_ranks);
  std::mutex mutex;
  std::optional<Error> first_cause, first_comm_error;
  const auto fail = [&](int rank, ExitCode code, const std::string& what, std::optional<Error>& first) {
    {
      const std::lock_guard lock(mutex);
      if (!first) first.emplace(code, "rank " + std::to_string(rank) + ": " + what);
    }
    comm::abort_loopback(*hub, rank, code, what);
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      log::set_rank(rank);
      const auto transport = comm::make_loopback_transport(hub, rank);
      try {
        body(*transport);
      } catch (const CommError& e) {
        fail(rank, e.code(), e.what(), first_comm_error);
      } catch (const Error& e) {
        fail(rank, e.code(), e.what(), first_cause);
      } catch (const std::exception& e) {
        fail(rank, ExitCode::other, e.what(), first_cause);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (first_cause) throw *first_cause;
  if (first_comm_error) throw *first_comm_error;
}

}  // namespace thinwire::test

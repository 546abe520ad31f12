// The cases of transport_suite.h: working channels in working_cases.cc, dying ones in failure_cases.cc.
#pragma once
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <numeric>
#include <string>

#include "base/error.h"
#include "comm/transport.h"
#include "comm/wire.h"

namespace thinwire::test {

void barrier_lets_nobody_leave_before_all_entered(comm::Transport& transport);
void broadcast_reaches_everyone_from_every_root(comm::Transport& transport);
void all_gather_cuts_unequal_messages_to_size(comm::Transport& transport);
void all_gather_finds_unknown_sizes(comm::Transport& transport);
void all_to_all_carries_every_pairs_message(comm::Transport& transport);
void sum_of_whole_numbers_is_exact(comm::Transport& transport);
void sum_adds_in_rank_order_to_the_bit(comm::Transport& transport);
void messages_of_one_peer_arrive_in_order(comm::Transport& transport);
void channels_do_not_mix(comm::Transport& transport);
void subgroups_work_beside_each_other(comm::Transport& transport);
void counters_follow_the_formulas(comm::Transport& transport);
void driver_runs_jobs_in_the_order_posted(comm::Transport& transport);
void message_beyond_the_capacity_fails(comm::Transport& transport);
void abort_unblocks_every_waiter(comm::Transport& transport);
void deadline_names_the_absent_peer(comm::Transport& transport);
void job_that_throws_ends_it_on_all_ranks(comm::Transport& transport);
void abort_of_the_training_thread_ends_a_waiting_job(comm::Transport& transport);

// More than any wait of a working case on a busy machine.
inline constexpr double kPatience_s = 60;

// A channel of all ranks with its wire.
struct Line {
  std::unique_ptr<comm::Channel> channel;
  comm::Wire wire;

  Line(comm::Transport& transport, std::string_view name, double timeout_s = kPatience_s)
      : channel(transport.open(everyone(transport), name)), wire(*channel, timeout_s) {}

  static comm::Group everyone(const comm::Transport& transport) {
    comm::Group group;
    group.members.resize(static_cast<size_t>(transport.world_size()));
    std::iota(group.members.begin(), group.members.end(), 0);
    return group;
  }
};

inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

// The error that `body` must end with.
inline CommError comm_error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError& e) {
    return e;
  }
  throw std::runtime_error("no CommError came");
}

inline void require_error(const CommError& error, ExitCode code, const std::string& text) {
  require(std::string(error.what()).find(text) != std::string::npos, fmt::format("'{}' is not in '{}'", text, error.what()));
  require(error.code() == code, fmt::format("code {} came with '{}'", static_cast<int>(error.code()), error.what()));
}

}  // namespace thinwire::test

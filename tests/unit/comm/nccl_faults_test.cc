// Each call of NCCL and of the CUDA runtime fails and hangs in turn, on one rank of three. Every rank must end with an error that names
// what happened or who is missing, long before anybody would call it hung, and nothing may be left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/collectives.h"
#include "comm/driver.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/transport_cases.h"

namespace thinwire::comm {
namespace {

using test::Fault;
using test::MockMachine;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kRanks = 3, kVictim = 1;
// A call that hangs must be waited for. One that fails must not: no deadline may come before its words, however slow the machine.
constexpr double kTimeout_s = 0.6;

struct FaultyCall {
  const char* name;
  bool is_early = false;  // made once, before the first message
  // Nobody can tell any more when the device has let go of its buffers:
  bool failure_blinds = false, hanging_blinds = false;
};
const FaultyCall kCalls[] = {
    {"cudaSetDevice", true},
    {"ncclCommInitRankConfig", true},
    {"cudaStreamCreate", true},
    {"cudaEventCreate", true},
    {"cudaMallocHost", true},
    {"cudaMalloc", true},
    {"ncclCommGetAsyncError"},
    {"ncclGroupStart"},
    {"ncclSend"},
    {"ncclRecv"},
    {"ncclGroupEnd"},
    {"cudaMemcpyAsync"},
    {"cudaEventRecord", false, true},
    {"cudaEventQuery", false, true, true},
};

struct Trial {
  FaultyCall call;
  int after;  // so many calls go well
};

std::vector<Trial> trials() {
  std::vector<Trial> all;
  for (const FaultyCall& call : kCalls) {
    for (const int after : {0, 1, 3}) {
      if (after == 0 || !call.is_early) all.push_back({call, after});
    }
  }
  return all;
}

class Faults : public testing::TestWithParam<Trial> {};

// Who ends a victim that hangs, once the others have ended: a watchdog aborts its driver, or, before there is one, the call is let go.
enum class Rescue { none, watchdog, let_go };

// Some rounds of sums, and what each rank ended with.
std::vector<std::string> run(MockMachine& machine, Rescue rescue) {
  std::vector<std::string> ends(kRanks);
  std::mutex mutex;
  std::condition_variable changed;
  int num_ended = 0;
  const double timeout_s = rescue == Rescue::none ? test::kPatience_s : kTimeout_s;
  const NcclSettings settings{.timeout_s = timeout_s, .close_timeout_s = 0.05, .part_limit_bytes = 1000};
  test::run_nccl_ranks(machine, kRanks, settings, [&](Transport& transport) {
    const bool is_victim = transport.world_rank() == kVictim;
    std::string& end = ends[static_cast<size_t>(transport.world_rank())];
    Task rounds("rounds", [](Wire& wire) {
      for (int i = 0; i < 5; ++i) {
        std::vector<float> values(3000);
        sum_in_rank_order(wire, values);
      }
    });
    try {
      Driver driver(transport, timeout_s);
      driver.post(rounds, driver.bulk_lane(0));
      if (is_victim && rescue == Rescue::watchdog) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return num_ended == kRanks - 1; });
        lock.unlock();
        driver.abort(ExitCode::no_progress, "the watchdog bit");
      }
      driver.wait(rounds);
    } catch (const Error& e) {
      end = e.what();
    }
    const std::lock_guard lock(mutex);
    if (!is_victim && ++num_ended == kRanks - 1) {
      changed.notify_all();
      if (rescue == Rescue::let_go) machine.let_go();
    }
  });
  return ends;
}

// A device that no longer says what it has done may still be using its buffers: these stay, and nothing else.
void expect_nothing_left(MockMachine& machine, bool but_what_the_device_may_use) {
  EXPECT_THAT(machine.violations(), IsEmpty());
  constexpr size_t kStaged = 5;  // a stream, two events, pinned memory and its double
  EXPECT_EQ(machine.num_live_objects(), but_what_the_device_may_use ? kStaged : 0u);
}

TEST_P(Faults, ThatFailEndEveryRankWithTheCallsName) {
  const auto& [call, after] = GetParam();
  MockMachine machine({.kind = Fault::Kind::fails, .call = call.name, .rank = kVictim, .after = after});
  const auto ends = run(machine, Rescue::none);
  ASSERT_TRUE(machine.has_struck());
  for (const std::string& end : ends) EXPECT_THAT(end, HasSubstr(std::string(call.name) + " failed: as asked"));
  for (const int rank : {0, 2}) EXPECT_THAT(ends[static_cast<size_t>(rank)], HasSubstr("rank 1: "));
  expect_nothing_left(machine, call.failure_blinds);
}

TEST_P(Faults, ThatHangEndEveryRankByItsDeadline) {
  const auto& [call, after] = GetParam();
  MockMachine machine({.kind = Fault::Kind::hangs, .call = call.name, .rank = kVictim, .after = after});
  const auto ends = run(machine, call.is_early ? Rescue::let_go : Rescue::watchdog);
  ASSERT_TRUE(machine.has_struck());
  for (const std::string& end : ends) {
    EXPECT_THAT(end, AnyOf(HasSubstr("no message from rank"), HasSubstr("NCCL did not connect 3 ranks"), HasSubstr("the watchdog bit")));
  }
  expect_nothing_left(machine, call.hanging_blinds);
}

INSTANTIATE_TEST_SUITE_P(Every, Faults, testing::ValuesIn(trials()),
                         [](const auto& of) { return std::string(of.param.call.name) + "After" + std::to_string(of.param.after); });

}  // namespace
}  // namespace thinwire::comm

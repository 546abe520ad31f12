// Runs that stand still on NCCL, of a mock machine whose calls can hang: what the watchdog reports, and that nobody goes on waiting.
#include "trainer/watchdog.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <latch>

#include "comm/collectives.h"
#include "comm/hang.h"
#include "tests/support/nccl_ranks.h"

namespace thinwire::trainer {
namespace {

using comm::Transport;
using comm::Wire;
using test::Fault;
using test::MockMachine;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

namespace fs = std::filesystem;

constexpr double kDeadline_s = 0.5, kNever_s = 600;
constexpr const char* kPurpose = "exchange of bucket 2";

void gather_for_ever(Wire& wire) {
  const std::vector<std::byte> mine(3000, std::byte{1});
  for (;;) comm::all_gather(wire, mine, mine.size());
}

class HangsOverNccl : public testing::Test {
 protected:
  HangsOverNccl() { fs::create_directories(directory_); }
  ~HangsOverNccl() override { fs::remove_all(directory_); }

  // A rank as train() makes it, in step 7, on whose bulk lane `exchange` runs. What that ended with.
  Failure run(Transport& transport, double timeout_s, const std::function<void(Wire&)>& exchange,
              const Watchdog::EndProcess& end_process = {}) const {
    flight::adopt(std::make_shared<flight::Recorder>(transport.world_rank(), 8), "training");
    Failure failure{ExitCode::ok, ""};
    {
      Watchdog watchdog(flight::current(), end_process);
      comm::Driver driver(transport, timeout_s, 1);
      const Watchdog::Watch watch(watchdog, driver, {.start_timeout_s = timeout_s, .timeout_s = timeout_s});
      watchdog.use_directory(directory_);
      watchdog.begin_step(7);
      try {
        driver.run("all are there", [](Wire& wire) { comm::barrier(wire); });
        driver.run(kPurpose, exchange, driver.bulk_lane(0));
      } catch (...) {
        failure = failure_of(std::current_exception());
      }
    }
    flight::adopt(nullptr);
    return failure;
  }

  // Rank 0 alone has a deadline, so it is the one that reports.
  static double deadline_of(const Transport& transport) { return transport.world_rank() == 0 ? kDeadline_s : kNever_s; }

  std::string report() const {
    std::ifstream file(directory_ / "hang" / "1" / "report.txt");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const fs::path directory_ = fs::path(testing::TempDir()) / fmt::format("thinwire-watchdog-{}", getpid());
  const comm::NcclSettings settings_ = {.close_timeout_s = 0.05};
};

void expect_tidy(MockMachine& machine) {
  EXPECT_TRUE(machine.has_struck());
  EXPECT_THAT(machine.violations(), IsEmpty());
  EXPECT_EQ(machine.num_live_objects(), 0u);
}

TEST_F(HangsOverNccl, ASendThatNeverEndsIsReportedWithPeerAndOperationAndTakenBack) {
  MockMachine machine(
      {.kind = Fault::Kind::hangs, .call = "ncclGroupEnd", .rank = 1, .after = 2});  // its kernel never gets onto the stream
  std::vector<Failure> ends(2);
  const Stopwatch watch;
  test::run_nccl_ranks(machine, 2, settings_, [&](Transport& transport) {
    ends[static_cast<size_t>(transport.world_rank())] = run(transport, deadline_of(transport), gather_for_ever);
  });
  EXPECT_LT(watch.seconds(), 60);
  const std::string told =
      "no progress for 0.5 s in all_gather (exchange of bucket 2) at step 7: all ranks have come to it, but nothing arrives from rank 1: ";
  EXPECT_THAT(ends[0].why, StartsWith(told));
  EXPECT_THAT(ends[0].why, HasSubstr("what every rank did last: " + (directory_ / "hang" / "1").string()));
  EXPECT_THAT(ends[1].why, StartsWith("rank 0: " + told));
  EXPECT_THAT(report(), StartsWith("rank 0: " + told));
  for (const Failure& end : ends) {
    EXPECT_EQ(end.code, ExitCode::no_progress);
    EXPECT_THAT(comm::missing_ranks(end.why), ElementsAre(1));
  }
  for (const int rank : {0, 1}) EXPECT_TRUE(fs::exists(directory_ / "hang" / "1" / fmt::format("rank_{:05}.txt", rank)));
  expect_tidy(machine);
}

// No kernel is started for a peer that has not come, and the report says what that is at instead.
TEST_F(HangsOverNccl, ARankThatDoesNotComeIsReportedWithWhatItIsAt) {
  MockMachine machine;
  std::vector<Failure> ends(3);
  std::latch others_have_ended(2);
  test::run_nccl_ranks(machine, 3, settings_, [&](Transport& transport) {
    const bool is_late = transport.world_rank() == 1;
    ends[static_cast<size_t>(transport.world_rank())] = run(transport, deadline_of(transport), [&](Wire& wire) {
      if (is_late) {
        const flight::Scope noted(flight::Kind::encode, "model.norm.weight");
        others_have_ended.wait();
      }
      gather_for_ever(wire);
    });
    if (!is_late) others_have_ended.count_down();
  });
  const std::string told = "no progress for 0.5 s in all_gather (exchange of bucket 2) at step 7: arrived 0, 2; missing 1; rank 1 on ";
  EXPECT_THAT(ends[0].why, StartsWith(told));
  EXPECT_THAT(ends[0].why, HasSubstr("encode model.norm.weight"));
  for (const int rank : {1, 2}) EXPECT_THAT(ends[static_cast<size_t>(rank)].why, StartsWith("rank 0: " + told));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

// A rank that does not come back from a call of NCCL cannot hear that it shall go: its process is ended.
TEST_F(HangsOverNccl, ARankThatIsStuckInACallIsEndedWithTheReport) {
  MockMachine machine({.kind = Fault::Kind::hangs, .call = "ncclSend", .rank = 1, .after = 2});
  std::vector<Failure> ends(2);
  Failure ended;
  test::run_nccl_ranks(machine, 2, settings_, [&](Transport& transport) {
    const auto end_process = [&](ExitCode code, const std::string& why) {
      ended = {code, why};
      machine.let_go();
    };
    ends[static_cast<size_t>(transport.world_rank())] =
        run(transport, deadline_of(transport), gather_for_ever, transport.world_rank() == 1 ? end_process : Watchdog::EndProcess());
  });
  EXPECT_EQ(ended.code, ExitCode::no_progress);
  EXPECT_THAT(ended.why, StartsWith("rank 0: no progress for 0.5 s in all_gather (exchange of bucket 2) at step 7: "));
  EXPECT_THAT(comm::missing_ranks(ended.why), ElementsAre(1));
  for (const Failure& end : ends) EXPECT_EQ(end.code, ExitCode::no_progress);
  expect_tidy(machine);
}

}  // namespace
}  // namespace thinwire::trainer

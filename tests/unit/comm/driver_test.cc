#include "comm/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <array>
#include <deque>
#include <future>
#include <thread>

#include "base/bytes.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "tests/support/run_ranks.h"
#include "tests/support/sanitized.h"

namespace thinwire::comm {
namespace {

using testing::HasSubstr;

// Bytes in use on the heap; 0 under sanitizers, which replace it and look for leaks themselves.
size_t heap_bytes() { return test::kSanitized ? 0 : mallinfo2().uordblks; }

void with_one_rank(const std::function<void(Driver&)>& body) {
  test::run_ranks(1, [&](Transport& transport) {
    Driver driver(transport, 10);
    body(driver);
  });
}

TEST(Driver, FailsEveryLaterJobWithTheFirstError) {
  with_one_rank([](Driver& driver) {
    bool has_run = false;
    Task first("first", [](Wire&) { throw DataError("the first"); });
    Task second("second", [&](Wire&) { has_run = true; });
    driver.post(first);
    driver.post(second);
    EXPECT_THROW(driver.wait(first), DataError);
    EXPECT_THROW(driver.wait(second), DataError);
    EXPECT_THROW(driver.run("third", [&](Wire&) { has_run = true; }), DataError);
    EXPECT_FALSE(has_run);
  });
}

TEST(Driver, TellsPeersTheCodeOfErrorsThatAreNotOurs) {
  try {
    test::run_ranks(2, [](Transport& transport) {
      Driver driver(transport, 10);
      try {
        driver.run("job", [](Wire& wire) {
          if (wire.rank() == 1) throw std::length_error("too long");
          barrier(wire);
        });
      } catch (const std::length_error&) {  // rank 0's error is the one that run_ranks shall see
      }
    });
    FAIL() << "rank 0 did not hear of it";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::other);
    EXPECT_THAT(e.what(), HasSubstr("rank 0: rank 1: too long"));
  }
}

TEST(Driver, TellsPeersThatMemoryIsGone) {
  test::run_ranks(2, [](Transport& transport) {
    Driver driver(transport, 10);
    const auto job = [&] {
      driver.run("job", [](Wire& wire) {
        if (wire.rank() == 1) throw std::bad_alloc();
        barrier(wire);
      });
    };
    if (transport.world_rank() == 1) {
      EXPECT_THROW(job(), std::bad_alloc);
      return;
    }
    try {
      job();
      ADD_FAILURE() << "rank 0 did not hear of it";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::out_of_memory);
      EXPECT_THAT(e.what(), HasSubstr("rank 1: out of memory"));
    }
  });
}

TEST(Driver, FinishesPostedTasksBeforeItEnds) {
  int num_run = 0;
  std::deque<Task> tasks;
  for (int i = 0; i < 100; ++i) tasks.emplace_back("job", [&](Wire&) { ++num_run; });
  with_one_rank([&](Driver& driver) {
    for (Task& task : tasks) driver.post(task);
  });
  EXPECT_EQ(num_run, 100);
}

TEST(Driver, RunsATaskAgainAndAgain) {
  with_one_rank([](Driver& driver) {
    int num_run = 0;
    Task task("job", [&](Wire&) { ++num_run; });
    for (int i = 0; i < 3; ++i) {
      driver.post(task, driver.bulk_lane(0));
      driver.wait(task);
    }
    EXPECT_EQ(num_run, 3);
  });
}

// A bulk lane that waits for a peer holds up neither the other lanes nor, by its failure alone, hides why it fails.
TEST(Driver, LanesDoNotWaitForOneAnother) {
  test::run_ranks(2, [](Transport& transport) {
    std::promise<void> opened;
    Driver driver(transport, 10, 2);
    Task held("held", [&](Wire& wire) {
      opened.get_future().wait();
      barrier(wire);
    });
    driver.post(held, driver.bulk_lane(0));
    driver.run("control", [](Wire& wire) { barrier(wire); });
    Task other("other", [](Wire& wire) { barrier(wire); });
    driver.post(other, driver.bulk_lane(1));
    driver.wait(other);
    opened.set_value();
    driver.wait(held);
  });
}

// What goes on in the background says things in between wherever its disk is done: on each rank elsewhere. Its bytes are counted apart.
TEST(Driver, TheBackgroundTalksInBetween) {
  test::run_ranks(2, [](Transport& transport) {
    Driver driver(transport, 10, 2);
    const std::array<std::byte, 5> mine{};
    const auto in_background = [&] {
      driver.run(
          "save", [&](Wire& wire) { all_gather(wire, mine, 5); }, driver.background_lane());
    };
    std::thread background;
    if (driver.rank() == 0) background = std::thread(in_background);
    for (int step = 0; step < 20; ++step) {
      if (driver.rank() == 1 && step == 10) background = std::thread(in_background);
      driver.run("flags", [&](Wire& wire) { all_gather(wire, std::span(mine).first(3), 3); });
    }
    background.join();
    EXPECT_EQ(driver.background_counters().sent_bytes, 5u);
    EXPECT_EQ(driver.background_counters().received_bytes, 5u);
    EXPECT_EQ(driver.counters().sent_bytes, 60u);
  });
}

TEST(Driver, AFailureOfOneLaneEndsTheOthers) {
  test::run_ranks(2, [](Transport& transport) {
    Driver driver(transport, 60, 2);
    Task waits("waits", [](Wire& wire) {
      std::byte byte{};
      Op receive{.kind = Op::Kind::recv, .peer = 1 - wire.rank(), .buffer = {.data = &byte, .bytes = 1}};  // that nobody sends
      wire.run({&receive, 1}, "wait");
    });
    driver.post(waits, driver.bulk_lane(1));
    const bool throws = transport.world_rank() == 1;
    Task fails("fails", [throws](Wire& wire) {
      if (throws) throw DataError("shard 4 is corrupt");
      barrier(wire);
    });
    driver.post(fails, driver.bulk_lane(0));
    for (Task* task : {&waits, &fails}) {
      try {
        driver.wait(*task);
        ADD_FAILURE() << "it went on";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::data);
        EXPECT_THAT(e.what(), HasSubstr(throws ? "shard 4 is corrupt" : "rank 1: shard 4 is corrupt"));
      }
    }
  });
}

TEST(Driver, LogsUnderTheRankThatPosted) {
  test::run_ranks(3, [](Transport& transport) {
    Driver driver(transport, 10);
    int rank = -1;
    driver.run("look", [&](Wire&) { rank = log::rank(); });
    EXPECT_EQ(rank, transport.world_rank());
  });
}

TEST(Driver, LetsGoOfAJobThatHasRun) {
  with_one_rank([](Driver& driver) {
    const auto captured = std::make_shared<int>(1);
    driver.run("job", [captured](Wire&) {});
    EXPECT_EQ(captured.use_count(), 1);
  });
}

TEST(Driver, TenThousandJobsLeaveNothingBehind) {
  size_t growth_bytes = 0;
  test::run_ranks(2, [&](Transport& transport) {
    Driver driver(transport, 30);
    const auto exchange = [&](int times) {
      for (int i = 0; i < times; ++i) {
        driver.run("exchange", [](Wire& wire) {
          std::vector<float> values(64);
          sum_in_rank_order(wire, values);
          all_gather(wire, bytes_of(std::span(values)), size_t{256});
        });
      }
    };
    exchange(100);
    const size_t before_bytes = heap_bytes();
    exchange(10000);
    const size_t after_bytes = heap_bytes();  // of both ranks: they are within one job of each other
    if (transport.world_rank() == 0 && after_bytes > before_bytes) growth_bytes = after_bytes - before_bytes;
  });
  EXPECT_LT(growth_bytes, 100'000u) << "10 bytes a job would show";
}

TEST(Driver, RefusesAJobThatWaitsForAnother) {
  with_one_rank(
      [](Driver& driver) { EXPECT_THROW(driver.run("outer", [&](Wire&) { driver.run("inner", [](Wire&) {}); }), BrokenInvariant); });
}

}  // namespace
}  // namespace thinwire::comm

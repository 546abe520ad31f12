#include "comm/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "base/bytes.h"
#include "base/log.h"
#include "comm/collectives.h"
#include "tests/support/run_ranks.h"

namespace thinwire::comm {
namespace {

using testing::HasSubstr;

// Bytes in use on the heap; 0 under sanitizers, which replace it and look for leaks themselves.
size_t heap_bytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 0;
#else
  return mallinfo2().uordblks;
#endif
}

void with_one_rank(const std::function<void(Driver&)>& body) {
  test::run_ranks(1, [&](Transport& transport) {
    Driver driver(transport, 10);
    body(driver);
  });
}

TEST(Driver, FailsEveryLaterJobWithTheFirstError) {
  with_one_rank([](Driver& driver) {
    bool has_run = false;
    auto first = driver.post("first", [](Wire&) { throw DataError("the first"); });
    auto second = driver.post("second", [&](Wire&) { has_run = true; });
    EXPECT_THROW(first.get(), DataError);
    EXPECT_THROW(second.get(), DataError);
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

TEST(Driver, FinishesPostedJobsBeforeItEnds) {
  std::future<void> last;
  int num_run = 0;
  with_one_rank([&](Driver& driver) {
    for (int i = 0; i < 100; ++i) last = driver.post("job", [&](Wire&) { ++num_run; });
  });
  last.get();
  EXPECT_EQ(num_run, 100);
}

TEST(Driver, LogsUnderTheRankThatPosted) {
  test::run_ranks(3, [](Transport& transport) {
    Driver driver(transport, 10);
    int rank = -1;
    driver.run("look", [&](Wire&) { rank = log::rank(); });
    EXPECT_EQ(rank, transport.world_rank());
  });
}

TEST(Driver, LetsGoOfAJobBeforeItsFutureIsReady) {
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

#include "trainer/agreement.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/run_ranks.h"

namespace thinwire::trainer {
namespace {

constexpr double kTimeout_s = 20;

std::string message_on_every_rank(int ranks, ExitCode code, const std::function<void(comm::Driver&)>& body) {
  std::mutex mutex;
  std::vector<std::string> messages;
  test::run_ranks(ranks, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kTimeout_s);
    try {
      body(driver);
      ADD_FAILURE() << "rank " << driver.rank() << " did not fail";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      const std::lock_guard lock(mutex);
      messages.push_back(e.what());
    }
  });
  EXPECT_EQ(messages.size(), static_cast<size_t>(ranks));
  for (const auto& message : messages) EXPECT_EQ(message, messages.front());
  return messages.front();
}

TEST(Agreement, GathersValuesByRank) {
  test::run_ranks(3, [](comm::Transport& transport) {
    comm::Driver driver(transport, kTimeout_s);
    EXPECT_EQ(gather_values(driver, "test", driver.rank() * 10), (std::vector<int>{0, 10, 20}));
    EXPECT_EQ(broadcast_text(driver, "test", driver.rank() == 0 ? "from zero" : "ignored"), "from zero");
  });
}

TEST(Agreement, RankZerosFailureIsEverybodys) {
  const auto message = message_on_every_rank(
      3, ExitCode::data, [](comm::Driver& driver) { on_rank_zero(driver, "test", [] { throw DataError("no such corpus"); }); });
  EXPECT_EQ(message, "no such corpus");
}

TEST(Agreement, NamesTheFirstKeyThatDiffersAndItsRanks) {
  const auto message = message_on_every_rank(3, ExitCode::comm, [](comm::Driver& driver) {
    require_same(driver, {{"data.source", "gcide"}, {"optim.lr", driver.rank() == 1 ? "0.5" : "0.1"}});
  });
  EXPECT_NE(message.find("'optim.lr' differs (rank 0, 2: 0.1; rank 1: 0.5)"), std::string::npos) << message;
}

TEST(Agreement, NamesAKeyThatOneRankLacks) {
  const auto message = message_on_every_rank(2, ExitCode::comm, [](comm::Driver& driver) {
    std::map<std::string, std::string> facts = {{"a", "1"}};
    if (driver.rank() == 1) facts["b"] = "2";
    require_same(driver, facts);
  });
  EXPECT_NE(message.find("'b' differs (rank 1: 2; rank 0: absent)"), std::string::npos) << message;
}

TEST(Agreement, EqualFactsPass) {
  test::run_ranks(4, [](comm::Transport& transport) {
    comm::Driver driver(transport, kTimeout_s);
    require_same(driver, {{"a", "1"}, {"b", ""}});
    require_same_bits(driver, 1, {"w"}, {42});
  });
}

TEST(Agreement, NamesTheTensorThatDriftedApart) {
  const auto message = message_on_every_rank(2, ExitCode::other, [](comm::Driver& driver) {
    require_same_bits(driver, 7, {"first", "second"}, {1, driver.rank() == 1 ? 9u : 2u});
  });
  EXPECT_NE(message.find("at step 7: 'second'"), std::string::npos) << message;
}

}  // namespace
}  // namespace thinwire::trainer

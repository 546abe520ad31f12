// What every policy of error feedback conserves under every compressor of the registry: over 200 rounds, with dense ones among them, and
// across plans that change. And what all of them owe to replicas: the same bits.
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "base/hash.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/account.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

class Policies : public ::testing::TestWithParam<Case> {
 protected:
  // Under `none` only what loses nothing conserves anything.
  bool conserves() const { return GetParam().policy.name != "none" || !loses_anything(first_plan()); }
  static SlotTable first_plan() { return SlotTable(policy_slots(GetParam().codec), 1600); }

  // Other codecs for some slots, another way to combine for one, other buckets.
  static SlotTable second_plan() {
    auto slots = policy_slots(GetParam().codec);
    slots[0].codec = compressor("topk", {"density=25%", "chunk=16"});
    slots[0].combine_as = compressors::Combine::reencode;
    slots[1].codec = bf16_codec().codec;
    return SlotTable(slots, 300, 1);
  }
  static SlotTable lossless_plan() { return SlotTable(policy_slots(none_codec().codec), 1600, 2); }
};

using Body = std::function<void(Account&, const std::function<void(uint64_t step, bool dense)>&)>;

// Runs `body` on every rank with an account of its own and a function that makes a round; then compares the books.
void expect_conserved(const Case& c, int ranks, const SlotTable& table, const Body& body, double scale = 1) {
  SCOPED_TRACE(std::to_string(ranks) + " ranks");
  const FeedbackOptions options = allowed(c.policy, policy_slots(c.codec));
  std::map<int, Account> accounts;
  std::mutex mutex;
  const auto on_rank = [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, table, options, true, 1);
    Account account(exchange, options);
    body(account, [&](uint64_t step, bool dense) {
      account.round({step, static_cast<float>(scale), dense}, gradients(exchange.table(), step, driver.rank()));
    });
    account.close();
    const std::lock_guard lock(mutex);
    accounts.emplace(driver.rank(), std::move(account));
  };
  test::run_ranks(ranks, on_rank);
  std::vector<Account> all;
  for (auto& [rank, account] : accounts) all.push_back(std::move(account));
  expect_balanced(all);
}

TEST_P(Policies, ConserveOverManyRounds) {
  if (!conserves()) GTEST_SKIP() << "drops its errors";
  for (const int ranks : {1, 2, 3}) {
    const uint64_t rounds = ranks == 2 ? kPolicyRounds : kPolicyRounds / 4;
    expect_conserved(
        GetParam(), ranks, first_plan(),
        [&](Account&, const auto& round) {
          for (uint64_t step = 1; step <= rounds; ++step) round(step, false);
        },
        0.5);
  }
}

TEST_P(Policies, ConserveAcrossDenseRounds) {
  if (!conserves()) GTEST_SKIP() << "drops its errors";
  expect_conserved(GetParam(), 3, first_plan(), [&](Account&, const auto& round) {
    for (uint64_t step = 1; step <= kPolicyRounds / 8; ++step) round(step, step == 1 || step % 7 == 0);
  });
}

TEST_P(Policies, ConserveAcrossPlans) {
  if (GetParam().policy.name == "none") GTEST_SKIP() << "drops its errors";
  for (const int ranks : {2, 3}) {
    expect_conserved(GetParam(), ranks, second_plan(), [&](Account& account, const auto& round) {
      uint64_t step = 0;
      const auto rounds = [&] {
        for (uint64_t k = 0; k < kPolicyRounds / 16; ++k) round(++step, false);
      };
      rounds();
      if (loses_anything(first_plan())) account.rebuild(first_plan()), rounds();
      account.rebuild(second_plan()), rounds();
      account.rebuild(lossless_plan()), round(++step, false);
    });
  }
}

TEST_P(Policies, GiveAllRanksTheSameBits) {
  for (const int ranks : {2, 3, 4, 7}) {
    const uint64_t rounds = ranks == 3 ? kPolicyRounds : kPolicyRounds / 20;
    std::vector<std::vector<uint64_t>> hashes(static_cast<size_t>(ranks));
    test::run_ranks(ranks, [&](comm::Transport& transport) {
      comm::Driver driver(transport, kPatience_s);
      const SlotTable table = first_plan();
      Exchange exchange(driver, table, allowed(GetParam().policy, table.slots()), true, 1);
      auto& own = hashes[static_cast<size_t>(driver.rank())];
      for (uint64_t step = 1; step <= rounds; ++step) {
        run_round(exchange, {step, 1, false}, gradients(table, step, driver.rank()));
        own.push_back(hash64(bytes_of(exchange.flat())));
      }
      for (const StatePiece& piece : exchange.state()) {
        if (piece.same_on_all_ranks) own.push_back(hash64(piece.memory));
      }
    });
    for (const auto& of_rank : hashes) EXPECT_EQ(of_rank, hashes[0]) << ranks << " ranks";
  }
}

TEST_P(Policies, GoOnFromTheirStateToTheBit) {
  test::run_ranks(2, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    const SlotTable table = first_plan();
    const FeedbackOptions options = allowed(GetParam().policy, table.slots());
    Exchange first(driver, table, options, true, 1);
    uint64_t step = 0;
    const auto round = [&](Exchange& exchange) { run_round(exchange, {step, 1, step == 3}, gradients(table, step, driver.rank())); };
    while (++step <= kPolicyRounds / 8) round(first);
    Exchange second(driver, table, options, true, 1);
    restore(second, bytes_of_state(first));
    for (const uint64_t end = step + 10; step < end; ++step) {
      round(first), round(second);
      EXPECT_EQ(hash64(bytes_of(first.flat())), hash64(bytes_of(second.flat()))) << "step " << step;
    }
    EXPECT_EQ(bytes_of_state(first), bytes_of_state(second));
  });
}

INSTANTIATE_TEST_SUITE_P(All, Policies, ::testing::ValuesIn(all_cases()),
                         [](const auto& c) { return c.param.policy.name + "_" + std::string(c.param.codec->name()); });

}  // namespace
}  // namespace thinwire::exchange

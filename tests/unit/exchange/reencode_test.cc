// Top-k whose payloads are merged and thinned out by owners: what a rank sends and receives does not grow with the number of ranks, and
// what owners leave out is owed.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/account.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

// 10 of 100 elements: 1 + 20 + 15 bytes a chunk.
constexpr int64_t kChunk = 100, kChunks = 12;
constexpr uint64_t kBlock = 36;
const char* const kOptions[] = {"density=10%", "chunk=100"};

SlotTable reencoded(int64_t chunks = kChunks) {
  SlotSpec weight{.name = "weight", .rows = 1, .cols = chunks * kChunk, .codec = compressor("topk", {kOptions[0], kOptions[1]})};
  weight.combine_as = compressors::Combine::reencode;
  return SlotTable({weight}, 1'000'000);
}

// Chunk by chunk: every rank's choice, added up in rank order, and the choice from the mean. First round, so nothing is owed yet.
TEST(Reencode, SendsTheChoiceFromTheMeanOfChoices) {
  constexpr int kRanks = 3;
  const SlotTable table = reencoded();
  const CodecModel model = topk_model(0.1, kChunk);
  Values sum(static_cast<size_t>(kChunk * kChunks), 0.0f);
  for (int rank = 0; rank < kRanks; ++rank) {
    const Values chosen = model.decoded(gradients(table, 1, rank)[0]);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += chosen[i];
  }
  for (float& x : sum) x = (1.0f / kRanks) * x;
  const Values expected = model.decoded(sum);
  test::run_ranks(kRanks, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, table, {}, true, 1);
    run_round(exchange, {1, 1, false}, gradients(table, 1, driver.rank()));
    for (size_t i = 0; i < sum.size(); ++i) ASSERT_EQ(exchange.flat()[i], expected[i]) << "element " << i;
    const StateSnapshot state(exchange);
    for (size_t i = 0; i < sum.size(); ++i) {
      if (state.owed[i] != 0) {
        ASSERT_EQ(state.owed[i], sum[i] - expected[i]) << "element " << i;
      }
    }
  });
}

// Whole chunks go to each owner: with 12 chunks, 1, 2, 3, 4, 6 and 12 ranks own the same number each. Out: the others' chunks, then the
// own ones to all others; two ranks send all chunks at once.
TEST(Reencode, CostsNoMoreBetweenManyRanks) {
  for (const uint64_t ranks : {2, 3, 4, 6, 12}) {
    const SlotTable table = reencoded();
    test::run_ranks(static_cast<int>(ranks), [&](comm::Transport& transport) {
      comm::Driver driver(transport, kPatience_s);
      Exchange exchange(driver, table, {}, true, 1);
      run_round(exchange, {1, 1, false}, gradients(table, 1, driver.rank()));
      const uint64_t others = kBlock * kChunks * (ranks - 1) / ranks, frames = ranks == 2 ? 1 : 2 * (ranks - 1);
      EXPECT_EQ(driver.counters().sent_bytes, 2 * others + frames * kHeader) << ranks << " ranks";
      EXPECT_EQ(driver.counters().received_bytes, 2 * others + frames * kHeader) << ranks << " ranks";
    });
  }
}

// Two ranks owe nothing of their own. What a checkpoint of more ranks, or of a version whose pairs re-encoded, has brought goes back into
// their feedback: multiples of 2^-8, so that the books balance to the bit.
TEST(Reencode, TwoRanksPayBackWhatACheckpointSaysTheyOwe) {
  const SlotTable table = reencoded();
  const auto elems = static_cast<size_t>(kChunks * kChunk);
  Values owed(elems), mean;
  for (size_t i = 0; i < elems; ++i) owed[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 256;
  std::vector<Values> left(2);
  test::run_ranks(2, [&](comm::Transport& transport) {
    comm::Driver driver(transport, kPatience_s);
    Exchange exchange(driver, table, {"ef14", 1}, true, 1);
    for (const StatePiece& piece : exchange.state()) {
      if (!piece.name.starts_with("owed/")) continue;
      EXPECT_EQ(piece.memory.size(), sizeof(float) * elems / 2);
      std::memcpy(piece.memory.data(), owed.data() + piece.begin, piece.memory.size());
    }
    run_round(exchange, {1, 1, false}, {Values(elems, 0.0f)});
    const auto rank = static_cast<size_t>(driver.rank());
    if (rank == 0) mean.assign(exchange.flat().begin(), exchange.flat().end());
    left[rank] = {exchange.residual(0).begin(), exchange.residual(0).end()};
    EXPECT_THAT(StateSnapshot(exchange).owed, ::testing::Each(0.0));
  });
  EXPECT_GT(std::ranges::count_if(mean, [](float x) { return x != 0; }), kChunks);
  for (size_t i = 0; i < elems; ++i) ASSERT_EQ(2 * mean[i] + left[0][i] + left[1][i], 2 * owed[i]) << "element " << i;
}

// Slices end at chunks, so with more ranks than chunks some own nothing.
TEST(Reencode, ConservesUnderEveryPolicy) {
  for (const Policy& policy : all_policies()) {
    if (policy.name == "none") continue;
    for (const int ranks : {2, 5}) {
      SCOPED_TRACE(policy.name + " on " + std::to_string(ranks));
      const SlotTable table = reencoded(4);
      std::vector<std::optional<Account>> books(static_cast<size_t>(ranks));
      test::run_ranks(ranks, [&](comm::Transport& transport) {
        comm::Driver driver(transport, kPatience_s);
        Exchange exchange(driver, table, policy.options, true, 1);
        Account account(exchange, policy.options);
        for (uint64_t step = 1; step <= kPolicyRounds / 4; ++step) {
          account.round({step, 1, step == 9}, gradients(table, step, driver.rank()));
        }
        account.close();
        books[static_cast<size_t>(driver.rank())].emplace(std::move(account));
      });
      std::vector<Account> all;
      for (auto& account : books) all.push_back(std::move(*account));
      expect_balanced(all);
    }
  }
}

}  // namespace
}  // namespace thinwire::exchange

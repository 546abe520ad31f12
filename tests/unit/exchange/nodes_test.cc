// The exchange of two levels: dense within nodes, compressed between their leaders; on threads that say which node they are on.
#include "exchange/rounds/nodes.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "comm/collectives.h"
#include "compressors/lowrank/powersgd.h"
#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"
#include "tests/unit/exchange/tampering.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::vector<int> kSeven = {0, 0, 0, 1, 1, 2, 2};
const std::vector<std::vector<int>> kLayouts = {kSeven, {0, 1, 0, 1, 2}, {5, 5, 5, 5, 2}, {1, 0, 0}};

// The ranks of each node, by the order in which nodes are first met.
std::vector<std::vector<int>> ranks_by_node(const std::vector<int>& node_of_rank) {
  std::vector<std::vector<int>> nodes;
  std::map<int, size_t> index;
  for (int rank = 0; rank < static_cast<int>(node_of_rank.size()); ++rank) {
    const auto [it, is_new] = index.try_emplace(node_of_rank[static_cast<size_t>(rank)], nodes.size());
    if (is_new) nodes.emplace_back();
    nodes[it->second].push_back(rank);
  }
  return nodes;
}

Trial two_levels(const Modelled& codec, const std::vector<int>& node_of_rank) {
  Trial trial = three_slots(codec);
  trial.ranks = static_cast<int>(node_of_rank.size());
  trial.node_of_rank = node_of_rank;
  trial.bucket_bytes = 1000;
  return trial;
}

// What leaders begin with: the node's sum in rank order, times nodes / ranks.
std::vector<SlotValues> node_sums(const Trial& trial, uint64_t step) {
  const auto inputs = trial.inputs(step);
  const auto nodes = ranks_by_node(trial.node_of_rank);
  const float weight = static_cast<float>(nodes.size()) / static_cast<float>(trial.ranks);
  std::vector<SlotValues> sums;
  for (const auto& ranks : nodes) {
    SlotValues sum = inputs[static_cast<size_t>(ranks[0])];
    for (size_t s = 0; s < sum.size(); ++s) {
      for (size_t i = 0; i < sum[s].size(); ++i) {
        for (size_t r = 1; r < ranks.size(); ++r) sum[s][i] += inputs[static_cast<size_t>(ranks[r])][s][i];
        sum[s][i] *= weight;
      }
    }
    sums.push_back(std::move(sum));
  }
  return sums;
}

// The serial exchange of leaders, as if each were one rank with its node's sum.
void expect_two_level_model(const Trial& trial) {
  const std::vector<RoundInfo> rounds = {{1, 1, false}, {2, 0.25f, false}, {3, 0.5f, true}, {4, 1, false}};
  const auto nodes = ranks_by_node(trial.node_of_rank);
  Trial leaders = trial;
  leaders.ranks = static_cast<int>(nodes.size());
  SerialExchange serial = leaders.serial();
  std::vector<SlotValues> means;
  std::vector<std::vector<SlotValues>> residuals;
  for (const RoundInfo& info : rounds) {
    const auto sums = node_sums(trial, info.step);
    means.push_back(info.dense ? serial.dense_round(sums, info.scale) : serial.round(sums, info.scale));
    residuals.emplace_back();
    for (int leader = 0; leader < leaders.ranks; ++leader) residuals.back().push_back(serial.residuals(leader));
  }
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    for (size_t k = 0; k < rounds.size(); ++k) {
      SCOPED_TRACE("rank " + std::to_string(rank.index()) + ", round " + std::to_string(k));
      rank.round(rounds[k], trial.inputs(rounds[k].step)[static_cast<size_t>(rank.index())]);
      EXPECT_TRUE(same_bits(rank.values(), means[k]));
      for (size_t n = 0; n < nodes.size(); ++n) {
        if (nodes[n][0] == rank.index()) {
          EXPECT_TRUE(same_bits(rank.residuals(), residuals[k][n]));
        }
      }
    }
  });
}

TEST(Nodes, AreTheExchangeOfTheirLeadersSumsBitForBit) {
  for (const auto& layout : kLayouts) {
    for (const Modelled& codec : {none_codec(), bf16_codec(), topk_codec(0.25, 64)}) expect_two_level_model(two_levels(codec, layout));
  }
}

TEST(Nodes, GiveTheMeanOverRanksWhateverTheirSizes) {
  for (const auto& layout : kLayouts) {
    const Trial trial = two_levels(none_codec(), layout);
    const auto inputs = trial.inputs(1);
    test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      rank.round({1, 0.5f, false}, inputs[static_cast<size_t>(rank.index())]);
      const SlotValues found = rank.values();
      for (size_t s = 0; s < found.size(); ++s) {
        for (size_t i = 0; i < found[s].size(); ++i) {
          double sum = 0, magnitudes = 0;
          for (const SlotValues& of_rank : inputs) sum += of_rank[s][i], magnitudes += std::fabs(of_rank[s][i]);
          // Each number is rounded in fewer than ranks + 4 additions and products on its way.
          ASSERT_NEAR(found[s][i], 0.5 * sum / trial.ranks, (trial.ranks + 4) * 0x1p-24 * magnitudes / trial.ranks);
        }
      }
    });
  }
}

struct Seen {
  std::vector<SlotValues> values, residuals;
  std::vector<uint64_t> sent_bytes;
};
Seen all_of(const Trial& trial) {
  const auto ranks = static_cast<size_t>(trial.ranks);
  Seen seen{std::vector<SlotValues>(ranks), std::vector<SlotValues>(ranks), std::vector<uint64_t>(ranks)};
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto own = static_cast<size_t>(rank.index());
    for (const uint64_t step : {1, 2, 3}) rank.round({step, 1, false}, trial.inputs(step)[own]);
    seen.values[own] = rank.values();
    seen.residuals[own] = rank.residuals();
    seen.sent_bytes[own] = rank.driver.counters().sent_bytes;
  });
  return seen;
}

TEST(Nodes, OfOneNodeOrOneRankEachAreTheFlatExchange) {
  for (const Modelled& codec : {none_codec(), bf16_codec(), topk_codec()}) {
    Trial flat_trial = two_levels(codec, {0, 0, 0});
    flat_trial.node_of_rank.clear();
    const Seen flat = all_of(flat_trial);
    for (const std::vector<int>& layout : std::vector<std::vector<int>>{{4, 4, 4}, {2, 0, 1}}) {
      const Seen nodes = all_of(two_levels(codec, layout));
      EXPECT_EQ(nodes.sent_bytes, flat.sent_bytes);
      for (size_t r = 0; r < 3; ++r) {
        EXPECT_TRUE(same_bits(nodes.values[r], flat.values[r]));
        EXPECT_TRUE(same_bits(nodes.residuals[r], flat.residuals[r]));
      }
    }
  }
}

// One bucket of n elements: leaders send each other a two-shot of fp32; within a node the numbers come in once and go out by a binomial
// tree.
TEST(NodeBytes, OnlyLeadersSpeakToOtherNodes) {
  constexpr uint64_t kElems = 351;
  Trial trial;
  trial.ranks = 7;
  trial.node_of_rank = kSeven;
  trial.add("weight", kElems, none_codec());
  std::vector<std::map<int, uint64_t>> got(7);  // by receiver, then sender
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    auto& own = got[static_cast<size_t>(transport.world_rank())];
    TamperingTransport spy(transport, [&](comm::Op& op) { own[op.peer] += op.received; });
    Rank rank(spy, trial);
    rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
  });
  const uint64_t third = kElems / 3, all = 4 * kElems;
  const uint64_t between = 2 * (kHeader + 4 * third);  // a slice of the sum, and the owner's mean
  const std::vector<std::map<int, uint64_t>> expected = {
      {{1, all}, {2, all}, {3, between}, {5, between}}, {{0, all}}, {{0, all}}, {{4, all}, {0, between}, {5, between}}, {{3, all}},
      {{6, all}, {0, between}, {3, between}},           {{5, all}}};
  EXPECT_EQ(got, expected);
}

TEST(NodeState, IsOfLeadersAlone) {
  const Trial trial = two_levels(bf16_codec(), kSeven);
  const std::set<int> leaders = {0, 3, 5};
  test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
    const bool leads = leaders.contains(rank.index());
    EXPECT_EQ(rank.exchange.residual(0).empty(), !leads);
    size_t residuals = 0, owed = 0;
    for (const StatePiece& piece : rank.exchange.state()) {
      EXPECT_FALSE(piece.same_on_all_ranks) << piece.name;
      residuals += piece.name.starts_with("residual/");
      owed += piece.name.starts_with("owed/");
    }
    EXPECT_EQ(residuals, leads ? 3u : 0u);
    EXPECT_EQ(owed > 0, leads);
    EXPECT_EQ(rank.exchange.senders(), 3);
  });
}

// As conservation_test.cc: multiples of 2^-8, and weights that are powers of two, so that all sums are exact. What goes in is what comes
// out, and what leaders keep and owe.
TEST(NodeState, ConservesWhatRanksPutIn) {
  constexpr size_t kElems = 700;
  for (const Modelled& codec : {topk_codec(0.05, 128), bf16_codec()}) {
    Trial trial;
    trial.ranks = 4;
    trial.node_of_rank = {0, 0, 0, 1};
    trial.add("weight", kElems, codec);
    using Sums = std::vector<double>;
    std::vector<Sums> in(4, Sums(kElems)), mean(4, Sums(kElems)), left(4, Sums(kElems));
    test::run_ranks(trial.ranks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      const auto own = static_cast<size_t>(rank.index());
      for (uint64_t step = 1; step <= 50; ++step) {
        const Draw draw = Draw(step).fork(own);
        SlotValues inputs(1, Values(kElems));
        for (size_t i = 0; i < kElems; ++i) {
          const uint64_t range = i % 11 == step % 11 ? 8192 : 64;
          inputs[0][i] = (static_cast<float>(draw.below(i, range)) - static_cast<float>(range) / 2) / 256;
          in[own][i] += inputs[0][i] / 4;
        }
        rank.round({step, 1, false}, inputs);
        for (size_t i = 0; i < kElems; ++i) mean[own][i] += rank.exchange.flat()[i];
      }
      const int leader = own == 0 ? 0 : 1;
      for (const StatePiece& piece : rank.exchange.state()) {
        const bool owes = piece.name.starts_with("owed/");
        const size_t begin = owes ? comm::owned_slice(kElems, leader, 2).begin : 0;
        for (size_t i = 0; const float x : floats_of(piece)) left[own][begin + i++] += owes ? x : x / 2;
      }
    });
    for (size_t i = 0; i < kElems; ++i) {
      ASSERT_EQ(mean[0][i] + left[0][i] + left[3][i], in[0][i] + in[1][i] + in[2][i] + in[3][i]) << codec.codec->name() << ' ' << i;
      for (const size_t r : {1, 2, 3}) ASSERT_EQ(mean[r][i], mean[0][i]) << "rank " << r;
    }
    EXPECT_EQ(left[1], Sums(kElems));
  }
}

std::vector<Failure> poisoned_round(const Trial& trial, int victim, float poison, bool dense) {
  return failures_of(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto own = static_cast<size_t>(rank.index());
    rank.round({7, 1, false}, trial.inputs(7)[own]);
    SlotValues inputs = trial.inputs(8)[own];
    if (rank.index() == victim) inputs[1][123] = poison;
    try {
      rank.round({8, 0.5f, dense}, inputs);
    } catch (const NonFiniteError&) {
      for (const Values& of_slot : rank.residuals()) {
        for (const float e : of_slot) EXPECT_TRUE(std::isfinite(e));
      }
      throw;
    }
  });
}

void expect_named(const std::vector<Failure>& failures, int victim) {
  for (int rank = 0; rank < static_cast<int>(failures.size()); ++rank) {
    const Failure& failure = failures[static_cast<size_t>(rank)];
    EXPECT_EQ(failure.code, ExitCode::non_finite) << failure.what;
    EXPECT_EQ(failure.is_non_finite_error, rank == victim);
    EXPECT_THAT(failure.what, AllOf(HasSubstr("'second.weight'"), HasSubstr("rank " + std::to_string(victim)), HasSubstr("step 8"),
                                    HasSubstr("element 123 is")));
  }
}

TEST(NodeFailures, NameTheRankWhoseNumberIsNone) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  for (const Modelled& codec : {none_codec(), topk_codec()}) {
    const Trial trial = two_levels(codec, kSeven);
    for (const int victim : {4, 3, 2}) {
      expect_named(poisoned_round(trial, victim, kNan, /*dense=*/false), victim);
      expect_named(poisoned_round(trial, victim, -kInf, /*dense=*/true), victim);
    }
  }
}

TEST(NodeFailures, NameTheRankBeforeASketchToo) {
  Trial trial = two_levels(none_codec(), kSeven);
  const auto sketch = std::make_shared<compressors::PowersgdSketch>(compressors::PowersgdOptions{.rank = 1, .min_compression = 0});
  for (SlotSpec& slot : trial.slots) slot.codec = sketch;
  expect_named(poisoned_round(trial, 6, std::numeric_limits<float>::quiet_NaN(), /*dense=*/false), 6);
}

// Of finite numbers, so no rank alone is to blame: the leader says it.
TEST(NodeFailures, NameTheLeaderWhoseNodesSumOverflows) {
  Trial trial = two_levels(none_codec(), {0, 0, 1, 1});
  const auto failures = failures_of(trial.ranks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues inputs = trial.inputs(1)[static_cast<size_t>(rank.index())];
    if (rank.index() >= 2) inputs[1][5] = 3e38f;
    rank.round({1, 1, false}, inputs);
  });
  for (const Failure& failure : failures) {
    EXPECT_EQ(failure.code, ExitCode::non_finite);
    EXPECT_THAT(failure.what, AllOf(HasSubstr("'second.weight'"), HasSubstr("rank 2"), HasSubstr("element 5 is inf")));
  }
}

TEST(NodeFailures, NameAPeerThatIsLost) {
  const Trial trial = two_levels(topk_codec(), kSeven);
  for (const int lost : {4, 3}) {  // one that is led, and a leader
    const auto failures = failures_of(trial.ranks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      if (rank.index() != lost) rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
    });
    std::vector<Failure> others = failures;
    others.erase(others.begin() + lost);
    expect_comm_errors(others, HasSubstr("rank " + std::to_string(lost) + " left"));
  }
}

}  // namespace
}  // namespace thinwire::exchange

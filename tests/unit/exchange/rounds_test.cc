// What an exchange computes, on one to four ranks: the serial model's bits, whatever the buckets and the order of events.
#include <algorithm>
#include <map>

#include "tests/support/run_ranks.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;

std::vector<RoundInfo> three_rounds(float scale = 1) { return {{1, scale, false}, {2, scale, false}, {7, scale, false}}; }

// In the order of forward: one element, none, odd, several chunks, exactly one chunk, fewer elements than ranks.
Trial awkward_slots(int ranks, const std::string& codec_name) {
  Trial trial;
  trial.ranks = ranks;
  const Modelled topk = topk_codec(0.1, 512);
  const std::map<std::string, Modelled> codecs = {
      {"none", none_codec()}, {"bf16", bf16_codec()}, {"skeleton", skeleton_codec()}, {"topk", topk}};
  int index = 0;
  for (const int64_t elems : {1, 0, 7, 3001, 512, 2, 1233}) {
    const char* of_mixed[] = {"topk", "none", "bf16", "topk"};
    trial.add("slot" + std::to_string(index), elems, codecs.at(codec_name == "mixed" ? of_mixed[index % 4] : codec_name));
    ++index;
  }
  return trial;
}

class Rounds : public ::testing::TestWithParam<std::tuple<int, std::string>> {};

TEST_P(Rounds, GiveTheBitsOfTheSerialModel) {
  Trial trial = awkward_slots(std::get<0>(GetParam()), std::get<1>(GetParam()));
  for (const int64_t bucket_bytes : {4, 4000, 1'000'000}) {
    trial.bucket_bytes = bucket_bytes;
    expect_model_bits(trial, three_rounds());
  }
}

TEST_P(Rounds, GiveTheSameBitsInAnyOrderOfReadinessWithAndWithoutOverlap) {
  Trial trial = awkward_slots(std::get<0>(GetParam()), std::get<1>(GetParam()));
  trial.bucket_bytes = 2000;
  for (const bool overlap : {true, false}) {
    for (const uint64_t order_seed : {1, 2, 3}) {
      trial.overlap = overlap;
      trial.order_seed = order_seed;
      expect_model_bits(trial, three_rounds());
    }
  }
}

TEST_P(Rounds, ScaleBeforeTheCodecAndDecayTheResidual) {
  Trial trial = awkward_slots(std::get<0>(GetParam()), std::get<1>(GetParam()));
  trial.feedback.decay = 0.95;
  expect_model_bits(trial, three_rounds(1.0f / 3.0f));
}

std::string name_of(const ::testing::TestParamInfo<Rounds::ParamType>& param) {
  return std::get<1>(param.param) + "On" + std::to_string(std::get<0>(param.param));
}
INSTANTIATE_TEST_SUITE_P(All, Rounds,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4), ::testing::Values("none", "bf16", "topk", "skeleton", "mixed")),
                         name_of);

// Without the model: the definition of an uncompressed mean.
TEST(Mean, IsTheSumInRankOrderTimesOneOverN) {
  for (const int ranks : {1, 2, 3, 4}) {
    Trial trial;
    trial.ranks = ranks;
    trial.add("weight", 1001, none_codec());
    const auto inputs = trial.inputs(5);
    Values expected(1001, 0.0f);
    for (const auto& of_rank : inputs) {
      for (size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] + of_rank[0][i];
    }
    for (float& x : expected) x = (1.0f / static_cast<float>(ranks)) * x;
    test::run_ranks(ranks, [&](comm::Transport& transport) {
      Rank rank(transport, trial);
      rank.round({5, 1.0f, false}, inputs[static_cast<size_t>(rank.index())]);
      EXPECT_TRUE(same_bits(rank.values(), {expected})) << ranks << " ranks";
    });
  }
}

TEST(Mean, OfALargeSlotBesideASmallOne) {
  Trial trial;
  trial.ranks = 3;
  trial.add("large", 200'003, none_codec());
  trial.add("large_too", 100'001, topk_codec());
  trial.add("small", 3, bf16_codec());
  trial.bucket_bytes = 100'000;
  expect_model_bits(trial, three_rounds());
}

TEST(WarmUp, TravelsInFp32AndLeavesResidualsAlone) {
  Trial trial = awkward_slots(3, "mixed");
  trial.feedback.decay = 0.9;
  expect_model_bits(trial, {{1, 1, true}, {2, 1, true}, {3, 1, false}, {4, 0.5f, true}, {5, 1, false}, {6, 1, false}});
}

// compress.combine: reencode. What is gathered otherwise is summed by owners, who keep the rest of the mean's second trip.
TEST(Reencode, OfASparseCodecGivesTheBitsOfTheSerialModel) {
  for (const int ranks : {1, 2, 3, 4}) {
    Trial trial = awkward_slots(ranks, "topk");
    for (SlotSpec& slot : trial.slots) slot.combine_as = compressors::Combine::reencode;
    for (CodecModel& model : trial.models) model.sums = true;
    for (const int64_t bucket_bytes : {4, 1'000'000}) {
      trial.bucket_bytes = bucket_bytes;
      expect_model_bits(trial, {{1, 1, false}, {2, 0.5f, false}, {3, 1, true}, {4, 1, false}});
    }
  }
}

// A chunk for each rank: its payload of 1 + 2 * 256 + 384 bytes to its owner, and the owner's to all. Two ranks send both to each other.
TEST(Reencode, SendsEachPayloadToItsOwnerAndBack) {
  for (const auto& [ranks, bytes] : {std::pair(2, 56u + 2 * 897), std::pair(4, 2u * 3 * (56 + 897))}) {
    Trial trial;
    trial.ranks = ranks;
    trial.add("weight", ranks * 4096, topk_codec(0.0625, 4096));
    trial.slots[0].combine_as = compressors::Combine::reencode;
    test::run_ranks(ranks, [&, bytes = bytes](comm::Transport& transport) {
      Rank rank(transport, trial);
      rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
      EXPECT_EQ(rank.driver.counters().sent_bytes, bytes);
    });
  }
}

TEST(Feedback, OfNameNoneDropsErrors) {
  Trial trial = awkward_slots(2, "topk");
  trial.feedback.name = "none";
  test::run_ranks(2, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    for (const uint64_t step : {1, 2}) {  // as if each round were the first
      const auto inputs = trial.inputs(step);
      rank.round({step, 1.0f, false}, inputs[static_cast<size_t>(rank.index())]);
      EXPECT_TRUE(same_bits(rank.values(), trial.serial().round(inputs, 1)));
      for (Slot s = 0; s < trial.slots.size(); ++s) EXPECT_TRUE(rank.exchange.residual(s).empty());
    }
  });
}

TEST(Feedback, KeepsNoStateWhenEveryCodecIsLossless) {
  Trial trial = awkward_slots(1, "none");
  test::run_ranks(1, [&](comm::Transport& transport) { EXPECT_TRUE(Rank(transport, trial).exchange.residual(3).empty()); });
}

TEST(Feedback, GoesOnFromRestoredState) {
  Trial trial = awkward_slots(2, "mixed");
  std::vector<std::map<std::string, Values>> saved(2);
  test::run_ranks(2, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    rank.round({1, 1.0f, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
    for (const StatePiece& piece : rank.exchange.state()) {
      saved[static_cast<size_t>(rank.index())][piece.name] = {floats_of(piece).begin(), floats_of(piece).end()};
    }
  });
  SerialExchange serial = trial.serial();
  serial.round(trial.inputs(1), 1);
  const SlotValues expected = serial.round(trial.inputs(2), 1);
  test::run_ranks(2, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    for (const StatePiece& piece : rank.exchange.state()) {
      std::ranges::copy(saved[static_cast<size_t>(rank.index())].at(piece.name), floats_of(piece).begin());
    }
    rank.round({2, 1.0f, false}, trial.inputs(2)[static_cast<size_t>(rank.index())]);
    EXPECT_TRUE(same_bits(rank.values(), expected));
  });
}

TEST(Exchange, RefusesCallsOutOfOrder) {
  Trial trial;
  for (const char* name : {"first", "second", "third"}) trial.add(name, 10, none_codec());
  test::run_ranks(1, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    EXPECT_THROW(rank.exchange.ready(0), BrokenInvariant);
    EXPECT_THROW(rank.exchange.finish(), BrokenInvariant);
    rank.exchange.begin({1, 1, false});
    EXPECT_THROW(rank.exchange.begin({2, 1, false}), BrokenInvariant);
    EXPECT_FALSE(rank.exchange.is_ready(0));
    rank.exchange.ready(0);
    EXPECT_TRUE(rank.exchange.is_ready(0));
    EXPECT_THROW(rank.exchange.ready(0), BrokenInvariant);
    EXPECT_THROW(rank.exchange.finish(), BrokenInvariant) << "two slots are missing";
  });
}

}  // namespace
}  // namespace thinwire::exchange

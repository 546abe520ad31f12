// What ends a round: numbers that are none, peers out of step or gone, bytes that are not what was sent. Every rank learns of it, by an
// error that says whose fault it is, and nobody waits for the deadline.
#include <gmock/gmock.h>

#include <cmath>
#include <latch>
#include <limits>

#include "tests/unit/exchange/support.h"
#include "tests/unit/exchange/tampering.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
constexpr int kRanks = 3;

Trial three_slots(const Modelled& codec) {
  Trial trial;
  trial.ranks = kRanks;
  trial.add("first.weight", 100, codec);
  trial.add("second.weight", 200, codec);
  trial.add("third.weight", 50, codec);
  return trial;
}

void expect_comm_errors(const std::vector<Failure>& failures, const ::testing::Matcher<std::string>& what) {
  for (size_t rank = 0; rank < failures.size(); ++rank) {
    EXPECT_TRUE(failures[rank].is_comm_error) << "rank " << rank << " ended with: " << failures[rank].what;
    EXPECT_EQ(failures[rank].code, ExitCode::comm) << "rank " << rank;
    EXPECT_THAT(failures[rank].what, AllOf(what, Not(HasSubstr("no message from")))) << "rank " << rank;
  }
}

// --- numbers that are none

class NonFinite : public ::testing::TestWithParam<std::string> {
 protected:
  static Modelled codec() { return GetParam() == "none" ? none_codec() : GetParam() == "bf16" ? bf16_codec() : topk_codec(); }
};

// A NaN in a residual would stay for ever. What a codec takes whole is not even begun; of what goes in slices, earlier ones may be.
void expect_sound_residuals(Rank& rank, const SlotValues& before, bool dense) {
  const SlotValues after = rank.residuals();
  for (const Values& of_slot : after) {
    for (const float e : of_slot) ASSERT_TRUE(std::isfinite(e));
  }
  const bool whole = rank.trial.models[1].sums == false;
  if (dense || whole) {
    EXPECT_TRUE(same_bits({after[1]}, {before[1]}));
  }
}

// Rank 1 meets `poison` in element 123 of the second slot at step 8, after a good round.
std::vector<Failure> poisoned_round(const Trial& trial, float poison, bool dense) {
  return failures_of(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto own = static_cast<size_t>(rank.index());
    rank.round({7, 1, false}, trial.inputs(7)[own]);
    const SlotValues residuals = rank.residuals();
    SlotValues inputs = trial.inputs(8)[own];
    if (rank.index() == 1) inputs[1][123] = poison;
    try {
      rank.round({8, 0.5f, dense}, inputs);
    } catch (const NonFiniteError&) {
      expect_sound_residuals(rank, residuals, dense);
      throw;
    }
  });
}

TEST_P(NonFinite, IsNamedByItsRankAndEndsTheOthersWithTheSameCode) {
  for (const float poison : {kNan, kInf, -kInf}) {
    for (const bool dense : {false, true}) {
      Trial trial = three_slots(codec());
      trial.bucket_bytes = 4;  // a bucket for each slot: the others of the rank may have gone through
      const auto failures = poisoned_round(trial, poison, dense);
      const auto names_it = AllOf(HasSubstr("'second.weight'"), HasSubstr("rank 1"), HasSubstr("step 8"), HasSubstr("element 123 is"),
                                  HasSubstr(poison == kInf    ? " inf"
                                            : poison == -kInf ? " -inf"
                                                              : "nan"));
      for (size_t rank = 0; rank < failures.size(); ++rank) {
        EXPECT_EQ(failures[rank].code, ExitCode::non_finite) << failures[rank].what;
        EXPECT_EQ(failures[rank].is_non_finite_error, rank == 1);
        EXPECT_EQ(failures[rank].is_comm_error, rank != 1);
        EXPECT_THAT(failures[rank].what, names_it);
      }
    }
  }
}

TEST_P(NonFinite, IsNamedInABucketOfManySlots) {
  const auto failures = poisoned_round(three_slots(codec()), kNan, /*dense=*/false);
  for (const Failure& failure : failures) EXPECT_THAT(failure.what, AllOf(HasSubstr("'second.weight'"), HasSubstr("element 123 is")));
}

INSTANTIATE_TEST_SUITE_P(All, NonFinite, ::testing::Values("none", "bf16", "topk"), [](const auto& codec) { return codec.param; });

TEST(NonFiniteSum, OfInputAndResidualIsRefused) {
  Trial trial = three_slots(topk_codec());
  const auto failures = failures_of(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues inputs = trial.inputs(1)[static_cast<size_t>(rank.index())];
    if (rank.index() == 2) inputs[0][99] = rank.exchange.residual(0)[99] = 3e38f;
    rank.round({1, 1, false}, inputs);
  });
  for (const Failure& failure : failures) {
    EXPECT_EQ(failure.code, ExitCode::non_finite);
    EXPECT_THAT(failure.what, AllOf(HasSubstr("'first.weight'"), HasSubstr("rank 2"), HasSubstr("element 99 is inf")));
  }
}

TEST(NonFiniteSum, OverRanksIsNamedByTheOwnerOfTheSlice) {
  Trial trial;
  trial.ranks = kRanks;
  trial.add("weight", 90, none_codec());
  const auto failures = failures_of(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    SlotValues inputs = {Values(90, 1.0f)};
    inputs[0][45] = 3e38f;  // in rank 1's third
    rank.round({1, 1, false}, inputs);
  });
  for (const Failure& failure : failures) {
    EXPECT_EQ(failure.code, ExitCode::non_finite);
    EXPECT_THAT(failure.what, AllOf(HasSubstr("'weight'"), HasSubstr("on rank 1"), HasSubstr("element 45 is inf")));
  }
}

// --- peers out of step

std::vector<Failure> round_with_an_odd_one(const Trial& trial, const Trial& odd_trial, const RoundInfo& info, const RoundInfo& odd_info) {
  return failures_of(kRanks, [&](comm::Transport& transport) {
    const bool odd = transport.world_rank() == 2;
    const Trial& own = odd ? odd_trial : trial;
    Rank rank(transport, own);
    rank.round(odd ? odd_info : info, own.inputs(1)[static_cast<size_t>(rank.index())]);
  });
}

TEST(OutOfStep, IsARankAtAnotherStep) {
  for (const Modelled& codec : {none_codec(), topk_codec()}) {
    const Trial trial = three_slots(codec);
    expect_comm_errors(round_with_an_odd_one(trial, trial, {5, 1, false}, {6, 1, false}),
                       AllOf(HasSubstr("frame is of step "), HasSubstr("out of step"),
                             AnyOf(HasSubstr("of step 6, expected 5"), HasSubstr("of step 5, expected 6"))));
  }
}

TEST(OutOfStep, IsARankWithAnotherSlotTable) {
  for (const Modelled& codec : {none_codec(), topk_codec()}) {
    const Trial trial = three_slots(codec);
    Trial renamed = trial;
    renamed.slots[1].name = "second.bias";
    expect_comm_errors(round_with_an_odd_one(trial, renamed, {1, 1, false}, {1, 1, false}), HasSubstr("slot_table_hash"));
  }
}

TEST(OutOfStep, IsARankWithAnotherCodec) {
  // bf16 and none differ in length as well; the odd one's longer frames do not fit, or its peers' shorter ones say what they are.
  expect_comm_errors(round_with_an_odd_one(three_slots(bf16_codec()), three_slots(none_codec()), {1, 1, false}, {1, 1, false}),
                     AnyOf(HasSubstr("codec_id"), HasSubstr("more than the")));
}

TEST(OutOfStep, IsARankThatWarmsUpLonger) {
  const Trial trial = three_slots(topk_codec());
  expect_comm_errors(round_with_an_odd_one(trial, trial, {1, 1, false}, {1, 1, true}), HasSubstr("rank "));
}

TEST(OutOfStep, IsARankWithOtherBuckets) {
  const Trial trial = three_slots(none_codec());
  Trial small = trial;
  small.bucket_bytes = 4;
  expect_comm_errors(round_with_an_odd_one(trial, small, {1, 1, false}, {1, 1, false}), HasSubstr("rank "));
}

// --- bytes that are not what was sent

struct Corruption {
  std::string name;
  std::string codec;
  std::function<void(comm::Op&)> tamper;  // with what rank 0 got from rank 1
  std::string expected;
};

constexpr uint16_t kCombined = 1;
constexpr size_t kBody = 56;
std::byte& byte_at(comm::Op& op, size_t offset) { return frame_of(op)[offset]; }
void flip(comm::Op& op, size_t offset) { byte_at(op, offset) ^= std::byte{0x10}; }

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.name; }

std::vector<Corruption> corruptions() {
  return {
      {"Magic", "none", [](comm::Op& op) { flip(op, 0); }, "rank 1's contribution to bucket 0: frame does not start with the magic"},
      {"Version", "topk", [](comm::Op& op) { flip(op, 4); }, "rank 1's contribution to bucket 0: frame has format version"},
      {"HeaderByte", "none", [](comm::Op& op) { flip(op, 16); }, "rank 1's contribution to bucket 0: frame states checksum"},
      {"BodyByte", "topk", [](comm::Op& op) { flip(op, op.received - 1); }, "rank 1's contribution to bucket 0: frame states checksum"},
      {"CutBody", "none", [](comm::Op& op) { op.received -= 1; }, "rank 1's contribution to bucket 0: frame states body_bytes"},
      {"CutHeader", "topk", [](comm::Op& op) { op.received = 20; }, "rank 1's contribution to bucket 0: frame header"},
      {"Nothing", "none", [](comm::Op& op) { op.received = 0; }, "rank 1's contribution to bucket 0: frame header"},
      {"CombinedSlice", "none",
       [](comm::Op& op) {
         if (leg_of(op) == kCombined) flip(op, kBody);
       },
       "rank 1's combined slice to bucket 0: frame states checksum"},
      {"ShortSliceWellSealed", "none", [](comm::Op& op) { op.received -= 4, reseal(op); }, "rank 1 sent a payload that codec none refuses"},
      {"NanWellSealed", "none", [](comm::Op& op) { store_le(&byte_at(op, kBody), kNan), reseal(op); },
       "rank 1 sent a payload that codec none refuses"},
      {"InfInCombinedWellSealed", "bf16",
       [](comm::Op& op) {
         if (leg_of(op) == kCombined) store_le<uint16_t>(&byte_at(op, kBody), 0x7f80), reseal(op);
       },
       "rank 1 sent a payload that codec bf16 refuses"},
      {"PayloadLengthWellSealed", "topk", [](comm::Op& op) { store_le(&byte_at(op, kBody), uint32_t{1'000'000}), reseal(op); },
       "rank 1's contribution to bucket 0: 'payload' needs 1000000 bytes"},
      {"NoRoomForALengthWellSealed", "topk", [](comm::Op& op) { op.received = kBody + 3, reseal(op); },
       "rank 1's contribution to bucket 0: 'payload length' needs 4 bytes"},
      {"ShortPayloadWellSealed", "topk", [](comm::Op& op) { store_le(&byte_at(op, kBody), uint32_t{1}), reseal(op); },
       "rank 1 sent a payload that codec topk refuses"},
      {"ExponentWellSealed", "topk", [](comm::Op& op) { byte_at(op, kBody + 4) = std::byte{114}, reseal(op); },
       "rank 1 sent a payload that codec topk refuses"},
  };
}

class Corrupt : public ::testing::TestWithParam<Corruption> {};

TEST_P(Corrupt, BytesAreRefusedByNameOfTheirSender) {
  const Corruption& corruption = GetParam();
  const Trial trial = three_slots(corruption.codec == "none" ? none_codec() : corruption.codec == "bf16" ? bf16_codec() : topk_codec());
  const auto failures = failures_of(kRanks, [&](comm::Transport& transport) {
    TamperingTransport tampering(transport, [&](comm::Op& op) {
      if (transport.world_rank() == 0 && op.peer == 1) corruption.tamper(op);
    });
    Rank rank(tampering, trial);
    // What comes last in a round hurts one rank alone: its peers may have theirs complete, and learn of it in the next.
    for (const uint64_t step : {1, 2}) rank.round({step, 1, false}, trial.inputs(step)[static_cast<size_t>(rank.index())]);
  });
  expect_comm_errors(failures, HasSubstr(corruption.expected));
}

INSTANTIATE_TEST_SUITE_P(All, Corrupt, ::testing::ValuesIn(corruptions()), [](const auto& corruption) { return corruption.param.name; });

// --- peers that are gone

TEST(LostRank, IsNamedWhenItLeavesBetweenTwoBuckets) {
  Trial trial = three_slots(topk_codec());
  trial.bucket_bytes = 4;
  const auto failures = failures_of(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    const auto inputs = trial.inputs(1)[static_cast<size_t>(rank.index())];
    if (rank.index() != 1) return rank.round({1, 1, false}, inputs);
    rank.begin_with({1, 1, false}, inputs);
    rank.exchange.ready(2);  // the first bucket is on its way, and is waited for; then the thread ends
  });
  EXPECT_EQ(failures[1].code, ExitCode::ok);
  expect_comm_errors({failures[0], failures[2]}, HasSubstr("rank 1 left"));
}

TEST(LostRank, IsNamedWhenItNeverComesToTheRound) {
  const Trial trial = three_slots(none_codec());
  const auto failures = failures_of(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial);
    if (rank.index() != 1) rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
  });
  expect_comm_errors({failures[0], failures[2]}, HasSubstr("rank 1 left"));
}

TEST(LostRank, IsNamedAtTheDeadlineWhenItIsSilent) {
  const Trial trial = three_slots(none_codec());
  std::latch others_ended(kRanks - 1);
  const auto failures = failures_of(kRanks, [&](comm::Transport& transport) {
    Rank rank(transport, trial, 0.2);
    if (rank.index() == 1) return others_ended.wait();
    const struct Ended {
      std::latch& latch;
      ~Ended() { latch.count_down(); }
    } ended{others_ended};
    rank.round({1, 1, false}, trial.inputs(1)[static_cast<size_t>(rank.index())]);
  });
  for (const int rank : {0, 2}) {
    EXPECT_EQ(failures[static_cast<size_t>(rank)].code, ExitCode::comm);
    EXPECT_THAT(failures[static_cast<size_t>(rank)].what, HasSubstr("no message from rank 1 for 0.2 s"));
    EXPECT_THAT(failures[static_cast<size_t>(rank)].what, HasSubstr("exchange of bucket 0"));
  }
}

// --- use

TEST(Exchange, RefusesCallsOutOfOrder) {
  const Trial trial = three_slots(none_codec());
  Trial alone = trial;
  alone.ranks = 1;
  failures_of(1, [&](comm::Transport& transport) {
    Rank rank(transport, alone);
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

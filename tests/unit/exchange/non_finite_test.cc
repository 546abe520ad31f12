// A number that is none ends the round before its bucket is sent: on its own rank by an error that says where it is, on all others by one
// with the same exit code.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
constexpr int kRanks = 3;

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

}  // namespace
}  // namespace thinwire::exchange

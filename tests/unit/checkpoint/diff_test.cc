#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "checkpoint/checkpoint.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Diff : public ::testing::Test {
 protected:
  void save(int64_t step, State state, const CheckpointOptions& options = {.keep = 0}) {
    on_ranks(1, [&](comm::Driver& driver) { Store(dir_.path(), driver, options).save(step, state, some_facts()); });
  }
  Difference between(int64_t a, int64_t b) {
    const auto path = [&](int64_t step) { return dir_ / ("step-0000000" + std::to_string(step)); };
    return diff(path(a), path(b));
  }
  TempDir dir_;
  Model model_{0, 1};
};

TEST_F(Diff, OfTheSameStateIsNothingHoweverItIsStored) {
  save(1, model_.state());
  save(2, model_.state(), {.keep = 0, .mode = "raw"});
  save(3, model_.state(), {.keep = 0, .base = "previous"});
  for (const int64_t other : {2, 3}) {
    EXPECT_TRUE(between(1, other).are_equal);
    EXPECT_EQ(between(1, other).text, "7 tensors are equal, 0 differ, 0 are in one only\n");
  }
}

// Of 1280 elements one moves by 0.5 and one by 1.5: rms is sqrt((0.25 + 2.25) / 1280) = 0.0442.
TEST_F(Diff, TellsHowManyAndByHowMuchAtMostAndInTheMean) {
  model_.table[3] = 1;
  model_.table[4] = 2;
  save(1, model_.state());
  model_.table[3] = 1.5f;
  model_.table[4] = 0.5f;
  model_.counter[0] = -model_.counter[0];
  save(2, model_.state());
  const Difference difference = between(1, 2);
  EXPECT_FALSE(difference.are_equal);
  EXPECT_THAT(difference.text,
              AllOf(HasSubstr("model.safetensors 'model/table' F32 [40, 32]: 2 of 1,280 elements differ, by 1.5 at most, rms 0.0442"),
                    HasSubstr("rank-00000.safetensors 'residual/counter' I64 []: 1 of 1 elements differ"),
                    HasSubstr("5 tensors are equal, 2 differ, 0 are in one only"), Not(HasSubstr("number"))));
}

TEST_F(Diff, OfWhatNoStepDependsOnIsToldAndDoesNotCount) {
  save(1, model_.state());
  model_.counter[0] = -model_.counter[0];
  save(2, model_.state());
  const auto path = [&](int64_t step) { return dir_ / ("step-0000000" + std::to_string(step)); };
  const Difference difference = diff(path(1), path(2), [](std::string_view name) { return name == "residual/counter"; });
  EXPECT_TRUE(difference.are_equal);
  EXPECT_THAT(difference.text, AllOf(HasSubstr("rank-00000.safetensors 'residual/counter' I64 []: not the same, which does not count"),
                                     HasSubstr("6 tensors are equal, 0 differ, 0 are in one only")));
  model_.weight[0] += 1;
  save(3, model_.state());
  EXPECT_FALSE(diff(path(1), path(3), [](std::string_view name) { return name == "residual/counter"; }).are_equal);
}

TEST_F(Diff, ComparesBitsAndKeepsNaN) {
  model_.weight = {0.f, 1, 2, 3, 4, 5};
  save(1, model_.state());
  model_.weight[0] = -0.f;
  save(2, model_.state());
  EXPECT_THAT(between(1, 2).text, HasSubstr("'model/weight' F32 [2, 3]: 1 of 6 elements differ, by 0 at most, rms 0\n"));
  model_.weight[1] = std::numeric_limits<float>::quiet_NaN();
  model_.weight[5] = 100;
  save(3, model_.state());
  EXPECT_THAT(between(1, 3).text, HasSubstr("3 of 6 elements differ, by nan at most, rms nan"));
  save(4, model_.state());
  EXPECT_TRUE(between(3, 4).are_equal);
}

TEST_F(Diff, NamesWhatIsInOneOnlyAndWhatHasAnotherForm) {
  save(1, model_.state());
  State state = model_.state();
  state.tensors[0].shape = {6};
  state.tensors[1].name = "model/other";
  state.numbers["extra"] = 5;
  state.numbers["step"] = 2;
  save(2, state);
  EXPECT_THAT(between(1, 2).text,
              AllOf(HasSubstr("'model/weight': F32 [2, 3], F32 [6]\n"), HasSubstr("'model/half' BF16 [3]: only in the first\n"),
                    HasSubstr("'model/other' BF16 [3]: only in the second\n"), HasSubstr("number 'extra': absent, 5\n"),
                    HasSubstr("number 'step': 1, 2\n"), HasSubstr("5 tensors are equal, 1 differ, 2 are in one only")));
}

TEST_F(Diff, RefusesDamage) {
  save(1, model_.state());
  save(2, model_.state());
  flip_bit(dir_ / "step-00000002/model.safetensors", 2000);
  EXPECT_THAT(error_of([&] { between(1, 2); }), HasSubstr("model.safetensors is damaged"));
  EXPECT_THAT(error_of([&] { between(1, 3); }), HasSubstr("incomplete"));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

// Which checkpoint is taken where a run is named.
#include "checkpoint/newest.h"

#include <gmock/gmock.h>

#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class NewestWhole : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const int64_t step : {10, 20, 30}) save_model(dir_ / "checkpoints", 2, step, static_cast<uint64_t>(step));
  }
  fs::path step(int number) const { return dir_ / ("checkpoints/step-000000" + std::to_string(number)); }
  TempDir dir_;
};

TEST_F(NewestWhole, IsTheNewestWhereAllAre) {
  for (const fs::path& given : {dir_.path(), dir_ / "checkpoints", dir_ / "checkpoints/"}) {
    EXPECT_EQ(find_checkpoint(given, Needs::everything), step(30));
    EXPECT_EQ(find_checkpoint(given, Needs::model), step(30));
  }
}

TEST_F(NewestWhole, PassesOverWhatIsDamagedAndSaysWhat) {
  flip_bit(step(30) / "rank-00001.safetensors", 800);
  fs::remove(step(20) / "COMPLETE");
  const Newest newest = newest_whole(dir_ / "checkpoints", Needs::everything);
  EXPECT_EQ(newest.path, step(10));
  EXPECT_THAT(newest.defects, ElementsAre(AllOf(HasSubstr("step-00000030: "), HasSubstr("rank-00001.safetensors is damaged")),
                                          AllOf(HasSubstr("step-00000020: "), HasSubstr("COMPLETE"))));
  EXPECT_EQ(find_checkpoint(dir_.path(), Needs::everything), step(10));
}

TEST_F(NewestWhole, NeedsOfAModelOnlyTheSharedFile) {
  flip_bit(step(30) / "rank-00001.safetensors", 800);
  EXPECT_EQ(find_checkpoint(dir_.path(), Needs::model), step(30));
  flip_bit(step(30) / "model.safetensors", 200);
  EXPECT_EQ(find_checkpoint(dir_.path(), Needs::model), step(20));
}

TEST_F(NewestWhole, IsNotWholeWhereItsBaseIsNot) {
  const CheckpointOptions chained{.keep = 0, .base = "previous"};
  save_model(dir_ / "chain", 1, 10, 1, chained);
  save_model(dir_ / "chain", 1, 20, 2, chained);
  ASSERT_THAT(defect_of(dir_ / "chain/step-00000020", Needs::everything), IsEmpty());
  flip_bit(dir_ / "chain/step-00000010/model.safetensors", 200);
  EXPECT_THAT(defect_of(dir_ / "chain/step-00000020", Needs::everything), HasSubstr("step-00000010"));
}

TEST_F(NewestWhole, TakesOneThatIsNamedUnseen) {
  flip_bit(step(20) / "model.safetensors", 200);
  EXPECT_EQ(find_checkpoint(step(20), Needs::everything), step(20));
}

TEST_F(NewestWhole, IsAnErrorWhereThereIsNone) {
  for (const int number : {10, 20, 30}) flip_bit(step(number) / "model.safetensors", 200);
  EXPECT_THAT(error_of([&] { find_checkpoint(dir_.path(), Needs::model); }),
              AllOf(HasSubstr("is whole"), HasSubstr("step-00000010: "), HasSubstr("step-00000030: ")));
  EXPECT_THAT(
      error_of([&] { find_checkpoint(dir_ / "checkpoints/step-00000010", Needs::model), find_checkpoint(dir_ / "other", Needs::model); }),
      HasSubstr("no such file or directory"));
  fs::create_directory(dir_ / "empty");
  EXPECT_THAT(error_of([&] { find_checkpoint(dir_ / "empty", Needs::model, "or else"); }),
              AllOf(HasSubstr("there is no checkpoint in it"), HasSubstr("or else")));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

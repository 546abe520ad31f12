#include "checkpoint/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

TEST(Retention, KeepsExactlyTheNewest) {
  TempDir dir;
  for (const int64_t step : {10, 20, 30, 40, 50}) save_model(dir.path(), 1, step, 1, 3);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000030", "step-00000040", "step-00000050"));
  save_model(dir.path(), 1, 60, 1, 1);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000060"));
}

TEST(Retention, ZeroKeepsAll) {
  TempDir dir;
  for (const int64_t step : {10, 20, 30, 40}) save_model(dir.path(), 1, step, 1, 0);
  EXPECT_EQ(names_in(dir.path()).size(), 5u);
}

TEST(Retention, StepsOfEverySoManyStayBesidesTheNewest) {
  TempDir dir;
  CheckpointOptions options;
  options.keep = 1;
  options.keep_every = 20;
  for (const int64_t step : {10, 20, 30, 40, 50, 60, 70}) save_model(dir.path(), 1, step, 1, options);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000020", "step-00000040", "step-00000060", "step-00000070"));
}

TEST(Retention, LeavesForeignNamesAlone) {
  TempDir dir;
  const std::vector<std::string> foreign = {".tmp-mine", ".trash-notes-1", "best", "step-000000005", "step-7", "step-00000001-backup"};
  for (const std::string& name : foreign) {
    fs::create_directories(dir / name);
    write(dir / (name + "/COMPLETE"), "x");
  }
  fs::create_directories(dir / "step-00000002");  // has our name, but is no checkpoint
  save_model(dir.path(), 1, 10, 1, 1);
  save_model(dir.path(), 1, 20, 1, 1);
  std::vector<std::string> expected = foreign;
  for (const char* ours : {"latest", "step-00000002", "step-00000020"}) expected.emplace_back(ours);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names_in(dir.path()), expected);
}

TEST(Retention, NeverDeletesWhatWasJustSaved) {
  TempDir dir;
  save_model(dir.path(), 1, 100, 1);
  save_model(dir.path(), 1, 50, 1, 1);  // the run went back: the newest by number is not the newest by time
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000050", "step-00000100"));
}

TEST(Retention, DamagedOnesTakeNoPlaceOfGoodOnes) {
  TempDir dir;
  for (const int64_t step : {10, 20, 30}) save_model(dir.path(), 1, step, 1, 0);
  CheckpointOptions options;
  options.keep = 2;
  Files files;
  retain(files, dir.path(), options, 20, {30}, "0a");
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000010", "step-00000020", "step-00000030"));
  save_model(dir.path(), 1, 40, 1, 0);
  retain(files, dir.path(), options, 40, {30}, "0b");
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000020", "step-00000040"));
}

TEST(Retention, LeftoversOfACrashGoAtTheNextSave) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  for (const char* name : {".tmp-step-00000020-0badcafe", ".trash-step-00000005-0badcafe", ".old-step-00000010-0badcafe"}) {
    fs::create_directories(dir / name);
    write(dir / (std::string(name) + "/model.safetensors"), "half");
  }
  write(dir / ".tmp-latest-0badcafe", "step-");
  save_model(dir.path(), 1, 20, 1);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000010", "step-00000020"));
}

TEST(Retention, AStepSavedAgainIsReplaced) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  save_model(dir.path(), 1, 10, 2);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000010"));
  EXPECT_TRUE(loads_as(dir.path(), 10, 2));
}

TEST(Retention, AStepThatWasMovedAsideComesBackWhenItsSuccessorNeverCame) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  fs::rename(dir / "step-00000010", dir / ".old-step-00000010-0badcafe");
  save_model(dir.path(), 1, 20, 2);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000010", "step-00000020"));
  EXPECT_TRUE(loads_as(dir.path(), 10, 1));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

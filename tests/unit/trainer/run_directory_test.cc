#include "trainer/run_directory.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"

namespace thinwire::trainer {
namespace {

namespace fs = std::filesystem;

class RunDirectory : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::path(testing::TempDir()) / (std::string("run_directory_") + info->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
    options_.dir = root_;
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path root_;
  RunOptions options_;
};

TEST_F(RunDirectory, NearestExistingIsTheFolderAboveWhatIsNotThere) {
  EXPECT_EQ(nearest_existing(root_), root_);
  EXPECT_EQ(nearest_existing(root_ / "runs" / "one"), root_);
  EXPECT_EQ(nearest_existing("/no/such/folder"), "/");
}

TEST_F(RunDirectory, CannotBeMadeBelowAFile) {
  EXPECT_EQ(why_not_made(root_ / "runs" / "one"), "");
  std::ofstream(root_ / "file") << "text\n";
  EXPECT_EQ(why_not_made(root_ / "file"), (root_ / "file").string() + " is a file, not a directory");
  EXPECT_EQ(why_not_made(root_ / "file" / "one"), (root_ / "file").string() + " is a file, not a directory");
}

TEST_F(RunDirectory, AStartGivesBackWhatItReplacesOrWhatSavesHaveLeft) {
  const auto put = [&](const fs::path& path, size_t bytes) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << std::string(bytes, 'x');
  };
  EXPECT_EQ(bytes_given_back(root_ / "none", IfOccupied::overwrite), 0);
  put(root_ / "metrics.jsonl", 5);
  put(root_ / "checkpoints/step-00000010/model.safetensors", 300);
  put(root_ / "checkpoints/.tmp-step-00000020-0a/model.safetensors", 70);
  put(root_ / "notes.txt", 1000);  // not ours
  EXPECT_EQ(bytes_given_back(root_, IfOccupied::refuse), 0);
  EXPECT_EQ(bytes_given_back(root_, IfOccupied::keep), 70);
  EXPECT_EQ(bytes_given_back(root_, IfOccupied::overwrite), 375);
}

TEST_F(RunDirectory, APathIsGoneOnWithWhereItIsUnlessAnotherPlaceIsNamed) {
  const fs::path run = root_ / "one", step = run / "checkpoints" / "step-00000020";
  fs::create_directories(step);
  const Resume from{Resume::Mode::path, step};
  for (const char* name : {"auto", "one"}) {
    options_.name = name;
    const RunLocation location = locate_run(options_, from, "quick");
    EXPECT_FALSE(location.branches());
    EXPECT_EQ(location.directory, run);
    EXPECT_EQ(if_occupied(location, false), IfOccupied::keep);
    EXPECT_THROW(if_occupied(location, true), ConfigError);
  }
  options_.name = "two";
  const RunLocation branch = locate_run(options_, from, "quick");
  EXPECT_TRUE(branch.branches());
  EXPECT_EQ(branch.directory, root_ / "two");
  EXPECT_EQ(branch.source, run);
  EXPECT_EQ(branch.step, 20);
  EXPECT_EQ(if_occupied(branch, false), IfOccupied::refuse);
  EXPECT_EQ(if_occupied(branch, true), IfOccupied::overwrite);
}

TEST_F(RunDirectory, DoesNotGoBackInPlace) {
  const fs::path run = root_ / "one", checkpoints = run / "checkpoints";
  for (const char* step : {"step-00000020", "step-00000030"}) fs::create_directories(checkpoints / step);
  options_.name = "one";
  EXPECT_THROW(locate_run(options_, {Resume::Mode::path, checkpoints / "step-00000020"}, "quick"), ConfigError);
  EXPECT_EQ(locate_run(options_, {Resume::Mode::path, checkpoints / "step-00000030"}, "quick").step, 30);
  EXPECT_EQ(locate_run(options_, {Resume::Mode::path, run}, "quick").step, std::nullopt);
}

TEST_F(RunDirectory, AutoNameIsStemDateAndTime) {
  const auto location = locate_run(options_, {}, "quick");
  EXPECT_EQ(location.directory.parent_path(), root_);
  EXPECT_TRUE(location.directory.filename().string().starts_with("quick-20"));
  EXPECT_FALSE(location.may_resume);
}

TEST_F(RunDirectory, ResumeAutoTakesTheNewestRunOfTheSameConfig) {
  for (const char* name :
       {"quick-20260101-000000", "quick-20260301-000000", "quick-20260201-000000", "quicker-20270101-000000", "quick-notes"}) {
    fs::create_directories(root_ / name);
  }
  const auto location = locate_run(options_, {Resume::Mode::automatic, {}}, "quick");
  EXPECT_EQ(location.directory.filename(), "quick-20260301-000000");
  EXPECT_TRUE(location.may_resume);
}

TEST_F(RunDirectory, ResumePathMayNameTheRunOrOneCheckpoint) {
  fs::create_directories(root_ / "a" / "checkpoints" / "step-00000015");
  const auto run = locate_run(options_, {Resume::Mode::path, root_ / "a" / ""}, "quick");
  EXPECT_EQ(run.directory, root_ / "a");
  EXPECT_FALSE(run.step.has_value());
  const auto step = locate_run(options_, {Resume::Mode::path, root_ / "a" / "checkpoints" / "step-00000015"}, "quick");
  EXPECT_EQ(step.directory, root_ / "a");
  EXPECT_EQ(step.step, 15);
  EXPECT_THROW(locate_run(options_, {Resume::Mode::path, root_ / "b"}, "quick"), CheckpointError);
  EXPECT_THROW(locate_run(options_, {Resume::Mode::path, root_}, "quick"), CheckpointError);
}

TEST_F(RunDirectory, AnOccupiedDirectoryIsRefusedOverwrittenOrKept) {
  std::ofstream(root_ / "metrics.jsonl") << "old\n";
  std::ofstream(root_ / "notes.txt") << "mine\n";
  try {
    prepare_directory(root_, IfOccupied::refuse);
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("--resume auto"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("--overwrite"), std::string::npos);
  }
  { const RunLock kept = prepare_directory(root_, IfOccupied::keep); }
  EXPECT_TRUE(fs::exists(root_ / "metrics.jsonl"));
  { const RunLock replaced = prepare_directory(root_, IfOccupied::overwrite); }
  EXPECT_FALSE(fs::exists(root_ / "metrics.jsonl"));
  EXPECT_TRUE(fs::exists(root_ / "notes.txt")) << "what is not ours stays";
}

TEST_F(RunDirectory, ALiveRunKeepsOthersOutAndADeadOneLeavesNoTrace) {
  const fs::path directory = root_ / "run";
  {
    const RunLock lock = prepare_directory(directory, IfOccupied::refuse);
    EXPECT_THROW(prepare_directory(directory, IfOccupied::keep), ConfigError);
    EXPECT_THROW(lock_former_run(directory), ConfigError);
  }
  prepare_directory(directory, IfOccupied::refuse);  // the lock file alone is no run
  RunLock former = lock_former_run(directory);
  EXPECT_TRUE(former.held());
  EXPECT_TRUE(prepare_directory(directory, IfOccupied::keep, std::move(former)).held());
  EXPECT_FALSE(lock_former_run(directory / "never").held());
}

}  // namespace
}  // namespace thinwire::trainer

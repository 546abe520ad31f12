// The power fails at every operation of a save, and what was not made certain is there in part, in any order: docs/formats/checkpoint.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "power_cut.h"
#include "scenes.h"
#include "tests/support/sanitized.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostStates = test::kSanitized ? 4 : 500;  // after each operation

class PowerCut : public ::testing::TestWithParam<Scene> {};

TEST_P(PowerCut, AtAnyOperationLeavesTheOldCheckpointOrTheNew) {
  const Scene& scene = GetParam();
  TempDir dir;
  scene.set(dir / "checkpoints");
  const auto disk = std::make_shared<NotedDisk>(dir.path());
  on_ranks(1, [&](comm::Driver& driver) {
    Store(dir / "checkpoints", driver, scene.options(scene.keep), disk)
        .save(scene.new_step, Model(0, Scene::kNewSeed).state(), some_facts());
  });
  ASSERT_GT(disk->num_operations(), 20u);
  std::set<Tree> seen;
  size_t num_old = 0, num_new = 0;
  for (size_t k = 0; k <= disk->num_operations(); ++k) {
    for (const Tree& state : disk->states_after(k, kMostStates, k)) {
      const bool returned = k == disk->num_operations();
      if (!seen.insert(state).second && !returned) continue;
      SCOPED_TRACE(std::to_string(k) + " operations");
      TempDir after;
      make_tree(after.path(), state);
      const bool is_new = next_start_finds_new(after / "checkpoints", scene);
      if (returned) {
        EXPECT_TRUE(is_new) << "save() returned, but the checkpoint is not there";
      }
      if (k == 0) {
        EXPECT_FALSE(is_new);
      }
      next_save_succeeds_and_cleans_up(after / "checkpoints");
      ++(is_new ? num_new : num_old);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(num_old, kMostStates / 10);
  EXPECT_GT(num_new, kMostStates / 100);
  std::printf("%zu states: the old checkpoint in %zu, the new one in %zu\n", num_old + num_new, num_old, num_new);
}

// An operation fails, the save tells so or makes do without it, and then the power fails.
TEST_P(PowerCut, AfterAFailureLeavesTheOldCheckpointOrTheNew) {
  const Scene& scene = GetParam();
  for (size_t n = 1; !HasFailure(); ++n) {
    SCOPED_TRACE("attempt " + std::to_string(n) + " fails");
    TempDir dir;
    scene.set(dir / "checkpoints");
    const auto disk = std::make_shared<NotedDisk>(dir.path());
    disk->fail_at(n);
    bool saved = true;
    ::testing::internal::CaptureStderr();
    on_ranks(1, [&](comm::Driver& driver) {
      try {
        Store(dir / "checkpoints", driver, scene.options(scene.keep), disk)
            .save(scene.new_step, Model(0, Scene::kNewSeed).state(), some_facts());
      } catch (const CheckpointError&) {
        saved = false;
      }
    });
    ::testing::internal::GetCapturedStderr();
    if (!disk->has_failed()) break;
    for (const Tree& state : disk->states_after(disk->num_operations(), kMostStates, n)) {
      TempDir after;
      make_tree(after.path(), state);
      const bool is_new = next_start_finds_new(after / "checkpoints", scene);
      EXPECT_TRUE(is_new || !saved) << "save() returned, but the checkpoint is not there";
      next_save_succeeds_and_cleans_up(after / "checkpoints");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Save, PowerCut, ::testing::ValuesIn(scenes()), [](const auto& one) { return std::string(one.param.name); });

// The model is worth something only if it catches what is missing: a save that returns without one of its fsyncs.
class ForgetfulDisk : public NotedDisk {
 public:
  ForgetfulDisk(const fs::path& root, std::string of) : NotedDisk(root), of_(std::move(of)) {}
  void sync(int file, const fs::path& path) override {
    if (!path.filename().string().starts_with(of_)) NotedDisk::sync(file, path);
  }
  void sync_directory(const fs::path& path) override {
    if (!path.filename().string().starts_with(of_)) NotedDisk::sync_directory(path);
  }

 private:
  const std::string of_;
};

TEST(NotedDisk, ShowsWhatAnFsyncThatIsMissingCosts) {
  const Scene scene{"", 20, 0};
  for (const char* forgotten : {"model.safetensors", "rank-00000", "manifest.json", "COMPLETE", ".tmp-step-", "checkpoints"}) {
    TempDir of_this;
    scene.set(of_this / "checkpoints");
    const auto disk = std::make_shared<ForgetfulDisk>(of_this.path(), forgotten);
    on_ranks(1, [&](comm::Driver& driver) {
      Store(of_this / "checkpoints", driver, {}, disk).save(scene.new_step, Model(0, Scene::kNewSeed).state(), some_facts());
    });
    size_t num_lost = 0;
    ::testing::internal::CaptureStderr();
    for (const Tree& state : disk->states_after(disk->num_operations(), kMostStates, 1)) {
      TempDir after;
      make_tree(after.path(), state);
      on_ranks(1, [&](comm::Driver& driver) { num_lost += Store(after / "checkpoints", driver, {}).newest_good() != scene.new_step; });
    }
    ::testing::internal::GetCapturedStderr();
    EXPECT_GT(num_lost, 0u) << forgotten;
  }
}

std::set<Tree> after_a_replacement(bool syncs_file, bool syncs_directory) {
  TempDir dir;
  write(dir / "name", "old");
  NotedDisk disk(dir.path());
  const int file = disk.create(dir / "new");
  disk.write(file, bytes_of(std::string_view("12")), dir / "new");
  if (syncs_file) disk.sync(file, dir / "new");
  disk.close(file, dir / "new");
  disk.rename(dir / "new", dir / "name");
  if (syncs_directory) disk.sync_directory(dir.path());
  return disk.states_after(disk.num_operations(), 1000, 0);
}

TEST(NotedDisk, KnowsWhatIsCertain) {
  EXPECT_THAT(after_a_replacement(true, true), ::testing::ElementsAre(Tree{{"name", "12"}}));
  EXPECT_THAT(after_a_replacement(true, false),
              ::testing::UnorderedElementsAre(Tree{{"name", "old"}}, Tree{{"name", "old"}, {"new", "12"}}, Tree{{"name", "12"}}));
  EXPECT_THAT(after_a_replacement(false, true),
              ::testing::UnorderedElementsAre(Tree{{"name", ""}}, Tree{{"name", "1"}}, Tree{{"name", std::string("1\0", 2)}},
                                              Tree{{"name", "12"}}));
}

TEST(NotedDisk, ReordersWhatWasDoneToNames) {
  TempDir dir;
  write(dir / "a", "a");
  write(dir / "b", "b");
  NotedDisk disk(dir.path());
  disk.remove_file(dir / "a");
  disk.rename(dir / "b", dir / "c");
  EXPECT_THAT(disk.states_after(2, 1000, 0), ::testing::UnorderedElementsAre(Tree{{"a", "a"}, {"b", "b"}}, Tree{{"b", "b"}},
                                                                             Tree{{"a", "a"}, {"c", "b"}}, Tree{{"c", "b"}}));
  EXPECT_THAT(disk.states_after(1, 1000, 0), ::testing::UnorderedElementsAre(Tree{{"a", "a"}, {"b", "b"}}, Tree{{"b", "b"}}));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

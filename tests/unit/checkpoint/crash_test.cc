// A save is stopped, or hindered, at each of its operations in turn; after each, the next start must find a whole checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/background_saver.h"
#include "scenes.h"
#include "tests/support/sanitized.h"
#include "unreliable_files.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kStride = test::kSanitized ? 3 : 1;  // from one hindered operation to the next

enum class Outcome { saved, refused, crashed };

Outcome save_unreliably(const fs::path& directory, const Scene& scene, const std::shared_ptr<UnreliableFiles>& files) {
  Model model(0, Scene::kNewSeed);
  Outcome outcome = Outcome::saved;
  on_ranks(1, [&](comm::Driver& driver) {
    Store store(directory, driver, scene.options(scene.keep), files);
    BackgroundSaver saver(store);
    try {
      saver.begin(scene.new_step, model.state(), some_facts());
      const BackgroundSaver::Outcome ended = saver.collect();
      EXPECT_EQ(ended.step, scene.new_step);
      if (ended.failure.empty()) return;
      EXPECT_THAT(ended.failure, HasSubstr("No space left on device"));
      outcome = Outcome::refused;
    } catch (const Crash&) {
      outcome = Outcome::crashed;
    }
  });
  EXPECT_EQ(model, Model(0, Scene::kNewSeed)) << "training memory was touched";
  return outcome;
}

// Returns false when the save has fewer operations than k.
bool fault_at(const Scene& scene, Fault fault, int k) {
  SCOPED_TRACE(std::string(scene.name) + ", fault " + std::to_string(static_cast<int>(fault)) + " at operation " + std::to_string(k));
  TempDir dir;
  const fs::path directory = dir / "checkpoints";
  scene.set(directory);
  const auto files = std::make_shared<UnreliableFiles>(fault, k, dir / "graveyard");
  const Outcome outcome = save_unreliably(directory, scene, files);
  if (outcome == Outcome::saved) files->cut_power();  // what was reported as saved must survive that
  const bool is_new = next_start_finds_new(directory, scene);
  if (outcome == Outcome::saved) {
    EXPECT_TRUE(is_new) << "save() returned, but the checkpoint is not there";
  }
  if (outcome == Outcome::refused) {
    EXPECT_FALSE(is_new) << "save() failed, but its checkpoint is there";
    EXPECT_LE(names_in(directory).size(), 3 + scene.bases());  // latest, the old one, and at most what could not be removed
  }
  next_save_succeeds_and_cleans_up(directory);
  return files->operations() >= k;
}

class CrashTest : public ::testing::TestWithParam<std::tuple<Scene, Fault>> {};

TEST_P(CrashTest, AtAnyOperationLeavesTheOldCheckpointOrTheNew) {
  const auto& [scene, fault] = GetParam();
  int k = 1;
  while (fault_at(scene, fault, k)) k += kStride;
  EXPECT_GT(k, 25) << "operations of a save were not seen";
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<Scene, Fault>>& one) {
  static const std::map<Fault, std::string> kFaults = {
      {Fault::full, "Full"}, {Fault::killed, "Killed"}, {Fault::data_lost, "DataLost"}, {Fault::names_lost, "NamesLost"}};
  return std::get<Scene>(one.param).name + kFaults.at(std::get<Fault>(one.param));
}

INSTANTIATE_TEST_SUITE_P(Save, CrashTest,
                         ::testing::Combine(::testing::ValuesIn(scenes()),
                                            ::testing::Values(Fault::full, Fault::killed, Fault::data_lost, Fault::names_lost)),
                         case_name);

// Step 20 is coded against step 10, which is saved again. Step 20 must be loaded after each fault, and still when all is tidied up.
bool fault_while_a_base_is_replaced(Fault fault, int k) {
  SCOPED_TRACE("fault " + std::to_string(static_cast<int>(fault)) + " at operation " + std::to_string(k));
  TempDir dir;
  const fs::path directory = dir / "checkpoints";
  constexpr uint64_t kFirstSeed = 4;
  const Scene scene{"", Scene::kOldStep, 0, "previous"};
  for (const auto& [step, seed] : {std::pair(Scene::kOldStep, Scene::kOldSeed), std::pair(int64_t{20}, kFirstSeed)}) {
    save_model(directory, 1, step, seed, scene.options(0));
  }
  const auto files = std::make_shared<UnreliableFiles>(fault, k, dir / "graveyard");
  const Outcome outcome = save_unreliably(directory, scene, files);
  if (outcome == Outcome::saved) files->cut_power();
  EXPECT_TRUE(loads_as(directory, 20, kFirstSeed));
  on_ranks(1, [&](comm::Driver& driver) { EXPECT_EQ(Store(directory, driver, {}).newest_good(), 20); });
  EXPECT_TRUE(loads_as(directory, Scene::kOldStep, Scene::kOldSeed) || loads_as(directory, Scene::kOldStep, Scene::kNewSeed));
  save_model(directory, 1, Scene::kNextStep, Scene::kNextSeed, 0);
  EXPECT_TRUE(loads_as(directory, 20, kFirstSeed));
  save_model(directory, 1, Scene::kNextStep + 1, Scene::kNextSeed, 1);
  EXPECT_THAT(names_in(directory), ::testing::ElementsAre("latest", "step-00000031"));
  return files->operations() >= k;
}

TEST(Crash, ABaseThatIsSavedAgainIsNeverLost) {
  for (const Fault fault : {Fault::full, Fault::killed, Fault::data_lost, Fault::names_lost}) {
    int k = 1;
    while (fault_while_a_base_is_replaced(fault, k)) k += kStride;
    EXPECT_GT(k, 25);
  }
}

// The model of a power cut is worth something only if it catches a missing fsync.
TEST(UnreliableFiles, APowerCutEmptiesUnsyncedFilesAndForgetsUnsyncedNames) {
  for (const bool synced : {false, true}) {
    TempDir dir;
    fs::create_directories(dir / "d");
    UnreliableFiles files(Fault::names_lost, synced ? 6 : 4, dir / "graveyard");
    const int file = files.create(dir / "d/a");
    files.write(file, bytes_of(std::string_view("text")), dir / "d/a");
    if (synced) files.sync(file, dir / "d/a");
    if (synced) files.sync_directory(dir / "d");
    files.rename(dir / "d/a", dir / "d/b");
    EXPECT_THROW(files.close(file, dir / "d/b"), Crash);
    EXPECT_EQ(names_in(dir / "d"), synced ? std::vector<std::string>{"a"} : std::vector<std::string>{});
    EXPECT_EQ(read(dir / "d/a"), synced ? "text" : "");
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

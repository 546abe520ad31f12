// A save is stopped, or hindered, at each of its operations in turn; after each, the next start must find a whole checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "unreliable_files.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uint64_t kFirstSeed = 4, kOldSeed = 1, kNewSeed = 2, kNextSeed = 3;
constexpr int64_t kFirstStep = 5, kOldStep = 10, kNextStep = 30;

struct Scene {
  const char* name;
  int64_t new_step;
  int64_t keep;
  const char* base = "none";
  CheckpointOptions options(int64_t kept) const { return {.keep = kept, .base = base}; }
};

enum class Outcome { saved, refused, crashed };

Outcome save_unreliably(const fs::path& directory, const Scene& scene, const std::shared_ptr<UnreliableFiles>& files) {
  Model model(0, kNewSeed);
  Outcome outcome = Outcome::saved;
  on_ranks(1, [&](comm::Driver& driver) {
    try {
      Store(directory, driver, scene.options(scene.keep), files).save(scene.new_step, model.state(), some_facts());
    } catch (const CheckpointError& e) {
      EXPECT_THAT(e.what(), HasSubstr("No space left on device"));
      outcome = Outcome::refused;
    } catch (const Crash&) {
      outcome = Outcome::crashed;
    }
  });
  EXPECT_EQ(model, Model(0, kNewSeed)) << "training memory was touched";
  return outcome;
}

// True when the new state is what the next start loads; anything but old or new is a failure.
bool next_start_finds_new(const fs::path& directory, const Scene& scene) {
  std::optional<int64_t> step;
  on_ranks(1, [&](comm::Driver& driver) { step = Store(directory, driver, {}).newest_good(); });
  if (!step) {
    ADD_FAILURE() << "there is no checkpoint any more";
    return false;
  }
  const bool is_new = *step == scene.new_step && loads_as(directory, *step, kNewSeed);
  EXPECT_TRUE(is_new || (*step == kOldStep && loads_as(directory, *step, kOldSeed))) << "step " << *step << " is neither old nor new";
  return is_new;
}

void next_save_succeeds_and_cleans_up(const fs::path& directory) {
  save_model(directory, 1, kNextStep, kNextSeed, 1);
  EXPECT_TRUE(loads_as(directory, kNextStep, kNextSeed));
  EXPECT_THAT(names_in(directory), ::testing::ElementsAre("latest", "step-00000030"));
}

// Returns false when the save has fewer operations than k.
bool fault_at(const Scene& scene, Fault fault, int k) {
  SCOPED_TRACE(std::string(scene.name) + ", fault " + std::to_string(static_cast<int>(fault)) + " at operation " + std::to_string(k));
  TempDir dir;
  const fs::path directory = dir / "checkpoints";
  save_model(directory, 1, kFirstStep, kFirstSeed, 1);
  save_model(directory, 1, kOldStep, kOldSeed, scene.options(1));
  const auto files = std::make_shared<UnreliableFiles>(fault, k, dir / "graveyard");
  const Outcome outcome = save_unreliably(directory, scene, files);
  if (outcome == Outcome::saved) files->cut_power();  // what was reported as saved must survive that
  const bool is_new = next_start_finds_new(directory, scene);
  if (outcome == Outcome::saved) {
    EXPECT_TRUE(is_new) << "save() returned, but the checkpoint is not there";
  }
  if (outcome == Outcome::refused) {
    EXPECT_FALSE(is_new) << "save() failed, but its checkpoint is there";
    const size_t bases = scene.base == std::string("none") ? 0 : 1;
    EXPECT_LE(names_in(directory).size(), 3 + bases);  // latest, the old one, and at most what could not be removed
  }
  next_save_succeeds_and_cleans_up(directory);
  return files->operations() >= k;
}

class CrashTest : public ::testing::TestWithParam<std::tuple<Scene, Fault>> {};

TEST_P(CrashTest, AtAnyOperationLeavesTheOldCheckpointOrTheNew) {
  const auto& [scene, fault] = GetParam();
  int k = 1;
  while (fault_at(scene, fault, k)) ++k;
  EXPECT_GT(k, 25) << "operations of a save were not seen";
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<Scene, Fault>>& one) {
  static const std::map<Fault, std::string> kFaults = {
      {Fault::full, "Full"}, {Fault::killed, "Killed"}, {Fault::data_lost, "DataLost"}, {Fault::names_lost, "NamesLost"}};
  return std::get<Scene>(one.param).name + kFaults.at(std::get<Fault>(one.param));
}

INSTANTIATE_TEST_SUITE_P(Save, CrashTest,
                         ::testing::Combine(::testing::Values(Scene{"NextStep", 20, 0}, Scene{"NextStepAndRetention", 20, 1},
                                                              Scene{"SameStepAgain", 10, 1}, Scene{"NextStepWithABase", 20, 1, "previous"},
                                                              Scene{"SameStepAgainWithABase", 10, 1, "previous"}),
                                            ::testing::Values(Fault::full, Fault::killed, Fault::data_lost, Fault::names_lost)),
                         case_name);

// Step 20 is coded against step 10, which is saved again. Step 20 must be loaded after each fault, and still when all is tidied up.
bool fault_while_a_base_is_replaced(Fault fault, int k) {
  SCOPED_TRACE("fault " + std::to_string(static_cast<int>(fault)) + " at operation " + std::to_string(k));
  TempDir dir;
  const fs::path directory = dir / "checkpoints";
  const Scene scene{"", kOldStep, 0, "previous"};
  for (const auto& [step, seed] : {std::pair(kOldStep, kOldSeed), std::pair(int64_t{20}, kFirstSeed)}) {
    save_model(directory, 1, step, seed, scene.options(0));
  }
  const auto files = std::make_shared<UnreliableFiles>(fault, k, dir / "graveyard");
  const Outcome outcome = save_unreliably(directory, scene, files);
  if (outcome == Outcome::saved) files->cut_power();
  EXPECT_TRUE(loads_as(directory, 20, kFirstSeed));
  on_ranks(1, [&](comm::Driver& driver) { EXPECT_EQ(Store(directory, driver, {}).newest_good(), 20); });
  EXPECT_TRUE(loads_as(directory, kOldStep, kOldSeed) || loads_as(directory, kOldStep, kNewSeed));
  save_model(directory, 1, kNextStep, kNextSeed, 0);
  EXPECT_TRUE(loads_as(directory, 20, kFirstSeed));
  save_model(directory, 1, kNextStep + 1, kNextSeed, 1);
  EXPECT_THAT(names_in(directory), ::testing::ElementsAre("latest", "step-00000031"));
  return files->operations() >= k;
}

TEST(Crash, ABaseThatIsSavedAgainIsNeverLost) {
  for (const Fault fault : {Fault::full, Fault::killed, Fault::data_lost, Fault::names_lost}) {
    int k = 1;
    while (fault_while_a_base_is_replaced(fault, k)) ++k;
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

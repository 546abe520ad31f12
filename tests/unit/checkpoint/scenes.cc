#include "scenes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thinwire::checkpoint::testing {

namespace fs = std::filesystem;

void Scene::set(const fs::path& directory) const {
  for (int64_t step = kOldStep - before + 1; step <= kOldStep; ++step) {
    save_model(directory, 1, step, step == kOldStep ? kOldSeed : kOlderSeed, options(1));
  }
}

const std::vector<Scene>& scenes() {
  static const std::vector<Scene> all = {{"NextStep", 20, 0},
                                         {"NextStepAndRetention", 20, 1},
                                         {"SameStepAgain", 10, 1},
                                         {"NextStepWithABase", 20, 1, "previous"},
                                         {"SameStepAgainWithABase", 10, 1, "previous"},
                                         {"InFullAfterAChainThatGoes", 20, 1, "previous", 5}};
  return all;
}

bool next_start_finds_new(const fs::path& directory, const Scene& scene) {
  std::optional<int64_t> step;
  on_ranks(1, [&](comm::Driver& driver) { step = Store(directory, driver, {}).newest_good(); });
  if (!step) {
    ADD_FAILURE() << "there is no checkpoint any more";
    return false;
  }
  const bool is_new = *step == scene.new_step && loads_as(directory, *step, Scene::kNewSeed);
  EXPECT_TRUE(is_new || (*step == Scene::kOldStep && loads_as(directory, *step, Scene::kOldSeed)))
      << "step " << *step << " is neither old nor new";
  return is_new;
}

void next_save_succeeds_and_cleans_up(const fs::path& directory) {
  save_model(directory, 1, Scene::kNextStep, Scene::kNextSeed, 1);
  EXPECT_TRUE(loads_as(directory, Scene::kNextStep, Scene::kNextSeed));
  EXPECT_THAT(names_in(directory), ::testing::ElementsAre("latest", "step-00000030"));
}

}  // namespace thinwire::checkpoint::testing

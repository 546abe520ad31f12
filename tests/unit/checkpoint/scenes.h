// Saves that tests let crash: what was saved before, what the save is of, and what the next start must find.
#pragma once
#include <string>
#include <vector>

#include "support.h"

namespace thinwire::checkpoint::testing {

struct Scene {
  static constexpr uint64_t kOlderSeed = 4, kOldSeed = 1, kNewSeed = 2, kNextSeed = 3;
  static constexpr int64_t kOldStep = 10, kNextStep = 30;

  const char* name;
  int64_t new_step;
  int64_t keep;
  const char* base = "none";
  int64_t before = 2;  // checkpoints before it, of steps up to kOldStep; under base: previous each is coded against the one before

  CheckpointOptions options(int64_t kept) const { return {.keep = kept, .base = base}; }
  // As a run with `keep` would have left it.
  void set(const std::filesystem::path& directory) const;
  size_t bases() const { return base == std::string("none") ? 0 : static_cast<size_t>(before - 1); }  // that the old one has
};

const std::vector<Scene>& scenes();

// True when the new state is what the next start loads; anything but old or new is a failure of the test.
bool next_start_finds_new(const std::filesystem::path& directory, const Scene& scene);
void next_save_succeeds_and_cleans_up(const std::filesystem::path& directory);

}  // namespace thinwire::checkpoint::testing

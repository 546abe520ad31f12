#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "config/load.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::optional<int64_t> newest_good(const fs::path& directory, int world = 1) {
  std::optional<int64_t> newest;
  on_ranks(world, [&](comm::Driver& driver) {
    const auto mine = Store(directory, driver, {}).newest_good();
    if (driver.rank() == 0) newest = mine;
  });
  return newest;
}

std::string load_error(const fs::path& directory, int64_t step, State state, int world = 1) {
  return error_of([&] {
    on_ranks(world, [&](comm::Driver& driver) {
      State mine = state;
      Store(directory, driver, {}).load(step, mine);
    });
  });
}

// COMPLETE for the manifest as it is now.
void seal(const fs::path& step_directory) {
  write(step_directory / "COMPLETE", to_hex(hash64(read(step_directory / "manifest.json"))) + "\n");
}

TEST(Store, WhatIsSavedIsLoadedBitForBit) {
  TempDir dir;
  save_model(dir / "new/checkpoints", 1, 7, 42);
  EXPECT_EQ(newest_good(dir / "new/checkpoints"), 7);
  EXPECT_TRUE(loads_as(dir / "new/checkpoints", 7, 42));
}

TEST(Store, TheDirectoryLooksAsDocumented) {
  TempDir dir;
  save_model(dir.path(), 1, 100, 1);
  EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"latest", "step-00000100"}));
  EXPECT_EQ(read(dir / "latest"), "step-00000100\n");
  EXPECT_EQ(names_in(dir / "step-00000100"),
            (std::vector<std::string>{"COMPLETE", "manifest.json", "model.safetensors", "rank-00000.safetensors"}));
  EXPECT_EQ(read(dir / "step-00000100/COMPLETE"), to_hex(hash64(read(dir / "step-00000100/manifest.json"))) + "\n");
  const Manifest manifest = parse_manifest(read(dir / "step-00000100/manifest.json"), "m");
  ASSERT_EQ(manifest.files.size(), 2u);
  for (const ManifestFile& file : manifest.files) {
    const std::string bytes = read(dir / ("step-00000100/" + file.name));
    EXPECT_EQ(file.summary, (FileSummary{bytes.size(), hash64(bytes)}));
  }
  EXPECT_EQ(manifest.tensors.size(), 7u);
}

TEST(Store, FactsComeBack) {
  TempDir dir;
  save_model(dir.path(), 1, 5, 1);
  on_ranks(1, [&](comm::Driver& driver) {
    const RunFacts facts = Store(dir.path(), driver, {}).facts(5);
    EXPECT_EQ(facts.run_name, "trial");
    EXPECT_EQ(facts.config_hash, "0123456789abcdef");
    EXPECT_EQ(facts.config, some_facts().config);
  });
}

TEST(Store, NoCheckpointIsNoError) {
  TempDir dir;
  fs::create_directories(dir / "step-100");  // not our name
  write(dir / "step-00000001", "a file");
  EXPECT_EQ(newest_good(dir.path()), std::nullopt);
  EXPECT_EQ(newest_good(dir / "nowhere"), std::nullopt);
}

TEST(Store, AFlippedBitAnywhereIsNoticedAndTheOlderOneIsUsed) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  save_model(dir.path(), 1, 20, 2);
  for (const std::string& name : names_in(dir / "step-00000020")) {
    const fs::path path = dir / ("step-00000020/" + name);
    const std::string before = read(path);
    for (const size_t at : {size_t{0}, before.size() / 2, before.size() - 1}) {
      SCOPED_TRACE(name + " " + std::to_string(at));
      flip_bit(path, at);
      ::testing::internal::CaptureStderr();
      EXPECT_EQ(newest_good(dir.path()), 10);
      EXPECT_THAT(::testing::internal::GetCapturedStderr(), AllOf(HasSubstr("warning"), HasSubstr("step-00000020"), HasSubstr("damaged")));
      write(path, before);
    }
    write(path, before.substr(0, before.size() - 1));
    EXPECT_EQ(newest_good(dir.path()), 10);
    fs::remove(path);
    EXPECT_EQ(newest_good(dir.path()), 10);
    write(path, before);
  }
  EXPECT_EQ(newest_good(dir.path()), 20);
}

TEST(Store, WhenNoneIsWholeEveryDefectIsNamed) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  save_model(dir.path(), 1, 20, 1);
  fs::remove(dir / "step-00000010/COMPLETE");
  flip_bit(dir / "step-00000020/model.safetensors", 100);
  const std::string message = error_of([&] { newest_good(dir.path()); });
  EXPECT_THAT(message, AllOf(HasSubstr("step-00000010 is incomplete"), HasSubstr("step-00000020/model.safetensors is damaged")));
}

TEST(Store, ADamagedFileIsNeverLoaded) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  flip_bit(dir / "step-00000010/rank-00000.safetensors", read(dir / "step-00000010/rank-00000.safetensors").size() - 1);
  Model model(0, 9);
  EXPECT_THAT(load_error(dir.path(), 10, model.state()), HasSubstr("rank-00000.safetensors is damaged: its XXH3"));
  EXPECT_EQ(model, Model(0, 9));
}

TEST(Store, ADirectoryUnderAnotherStepsNameIsRefused) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  fs::rename(dir / "step-00000010", dir / "step-00000030");
  EXPECT_THAT(load_error(dir.path(), 30, Model(0, 1).state()), HasSubstr("holds step 10"));
}

TEST(Store, ANewerFormatIsRefusedAndNotSkipped) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  save_model(dir.path(), 1, 20, 1);
  std::string manifest = read(dir / "step-00000020/manifest.json");
  manifest.replace(manifest.find("\"version\": 2"), 12, "\"version\": 6");
  write(dir / "step-00000020/manifest.json", manifest);
  seal(dir / "step-00000020");
  const auto both = AllOf(HasSubstr("version 6"), HasSubstr("newer than 5"));
  EXPECT_THAT(load_error(dir.path(), 20, Model(0, 1).state()), both);
  EXPECT_THAT(error_of([&] { newest_good(dir.path()); }), both);
}

TEST(Store, OneOfAnotherWorldIsFoundAndLoaded) {
  TempDir dir;
  save_model(dir.path(), 2, 10, 1);
  EXPECT_EQ(newest_good(dir.path(), 1), 10);
  Model model(0, 9);
  on_ranks(1, [&](comm::Driver& driver) {
    State state = model.state();
    Store store(dir.path(), driver, {});
    EXPECT_EQ(store.world(10), 2);
    store.load(10, state);
  });
  EXPECT_EQ(model.table, Model(0, 1).table);
  EXPECT_FLOAT_EQ(model.residual[0], (Model(0, 1).residual[0] + Model(1, 1).residual[0]) / 2);
}

TEST(Store, AMissingStepIsAnError) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  EXPECT_THAT(load_error(dir.path(), 11, Model(0, 1).state()), AllOf(HasSubstr("step-00000011"), HasSubstr("does not exist")));
}

TEST(Store, MismatchesAreListedAndNothingIsTouched) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  Model model(0, 9);
  State state = model.state();
  state.tensors[0].shape = {3, 2};
  state.tensors[1].dtype = DType::f16;
  state.tensors[4].name = "residual/other";
  state.numbers["sampler/next"] = 1;
  EXPECT_THAT(load_error(dir.path(), 10, state),
              AllOf(HasSubstr("5 differences"), HasSubstr("model/weight: F32 [2, 3] in the checkpoint, F32 [3, 2] in this run"),
                    HasSubstr("model/half: BF16 [3] in the checkpoint, F16 [3] in this run"), HasSubstr("residual/other I64 []: missing"),
                    HasSubstr("'residual/counter' I64 []: unexpected"), HasSubstr("number sampler/next: missing")));
  EXPECT_EQ(model, Model(0, 9));
}

TEST(Store, ATensorIsFoundWhateverScopeItWasSavedWith) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  Model model(0, 9);
  on_ranks(1, [&](comm::Driver& driver) {
    State state = model.state();
    state.tensors[0].scope = Scope::per_rank;    // saved as replicated
    state.tensors[3].scope = Scope::replicated;  // saved as per_rank
    Store(dir.path(), driver, {}).load(10, state);
    model.numbers = state.numbers;
  });
  EXPECT_EQ(model, Model(0, 1));
}

TEST(Store, OfManyMismatchesTenAreListed) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  Model model(0, 1);
  State state = model.state();
  for (int i = 0; i < 14; ++i) state.numbers["extra" + std::to_string(i)] = i;
  const std::string message = load_error(dir.path(), 10, state);
  EXPECT_THAT(message, AllOf(HasSubstr("14 differences"), HasSubstr("and 4 more")));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 11);
}

TEST(Store, NumbersAreReplacedBySavedOnes) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 33);
  Model model(0, 1);
  on_ranks(1, [&](comm::Driver& driver) {
    State state = model.state();
    state.numbers.clear();
    Store(dir.path(), driver, {}).load(10, state);
    EXPECT_EQ(state.numbers, (std::map<std::string, int64_t>{{"step", 33}}));
  });
}

class SmallDisk : public Files {
  uint64_t free_bytes(const fs::path&) override { return 100; }
};

TEST(Store, TooLittleSpaceIsToldBeforeAnythingIsWritten) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  const auto before = names_in(dir.path());
  EXPECT_THAT(error_of([&] {
                on_ranks(1, [&](comm::Driver& driver) {
                  Store(dir.path(), driver, {}, std::make_shared<SmallDisk>()).save(20, Model(0, 1).state(), some_facts());
                });
              }),
              AllOf(HasSubstr("not enough space"), HasSubstr("step-00000020 was not saved"), HasSubstr("free some space")));
  EXPECT_EQ(names_in(dir.path()), before);
}

TEST(CheckpointOptions, AreCounts) {
  CheckpointOptions options;
  auto section = config::describe_root(options);
  config::load(section, {{"a.yaml", "{every: 0, keep: 5, mode: raw, base: previous, threads: 2}"}}, {});
  EXPECT_EQ(options.every, 0);
  EXPECT_EQ(options.keep, 5);
  EXPECT_EQ(options.mode, "raw");
  EXPECT_EQ(options.base, "previous");
  EXPECT_EQ(options.threads, 2);
  config::load(section, {{"a.yaml", "{mode: near_exact, moments: 4}"}}, {});
  EXPECT_EQ(options.mode, "near_exact");
  EXPECT_EQ(options.moments, "4");
  for (const char* wrong : {"{keep: -1}", "{moments: 5}", "{moments: 16}", "{mode: fast}", "{base: 10}", "{threads: 0}"}) {
    EXPECT_THROW(config::load(section, {{"a.yaml", wrong}}, {}), ConfigError) << wrong;
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

// Several ranks save and load together, over loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "checkpoint/agreement.h"
#include "checkpoint/checkpoint.h"
#include "support.h"
#include "unreliable_files.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

void expect_each_loads_its_own(const fs::path& directory, int world, int64_t step, uint64_t seed) {
  on_ranks(world, [&](comm::Driver& driver) {
    Model model(driver.rank(), 12345);
    State state = model.state();
    Store store(directory, driver, {});
    EXPECT_EQ(store.newest_good(), step);
    store.load(step, state);
    model.numbers = state.numbers;
    EXPECT_EQ(model, Model(driver.rank(), seed)) << "rank " << driver.rank();
  });
}

class Worlds : public ::testing::TestWithParam<int> {};

TEST_P(Worlds, EachRankGetsItsOwnStateBack) {
  TempDir dir;
  save_model(dir.path(), GetParam(), 10, 5);
  expect_each_loads_its_own(dir.path(), GetParam(), 10, 5);
}

INSTANTIATE_TEST_SUITE_P(Ranks, Worlds, ::testing::Values(1, 2, 3, 4));

TEST(Ranks, WithoutOwnStateThereAreNoRankFiles) {
  TempDir dir;
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 1);
    State state = model.state();
    std::erase_if(state.tensors, [](const StateTensor& tensor) { return tensor.scope == Scope::per_rank; });
    Store store(dir.path(), driver, {});
    store.save(10, state, some_facts());
    store.load(10, state);
  });
  EXPECT_EQ(names_in(dir / "step-00000010"), (std::vector<std::string>{"COMPLETE", "manifest.json", "model.safetensors"}));
}

TEST(Ranks, MayKeepDifferentThings) {
  TempDir dir;
  std::vector<float> owned = {1, 2, 3};
  on_ranks(3, [&](comm::Driver& driver) {
    const auto rank = static_cast<size_t>(driver.rank());
    std::vector<float> mine(owned.begin(), owned.begin() + static_cast<long>(rank));
    State state;
    if (rank > 0) state.tensors = {{"slice", DType::f32, {driver.rank()}, std::as_writable_bytes(std::span(mine)), Scope::per_rank}};
    Store store(dir.path(), driver, {});
    store.save(1, state, some_facts());
    std::fill(mine.begin(), mine.end(), 0.f);
    store.load(1, state);
    EXPECT_TRUE(std::equal(mine.begin(), mine.end(), owned.begin()));
  });
  EXPECT_THAT(verify(dir / "step-00000001"), ::testing::IsEmpty());
}

// What each rank is told when rank `broken` fails at its operation k. Empty: its save succeeded.
std::vector<std::string> failures(const TempDir& dir, int world, int broken, int k) {
  std::vector<std::string> texts(static_cast<size_t>(world));
  on_ranks(world, [&](comm::Driver& driver) {
    const bool fails = driver.rank() == broken;
    const auto files = std::make_shared<UnreliableFiles>(fails ? Fault::full : Fault::none, k, dir / "graveyard");
    Model model(driver.rank(), 2);
    try {
      Store(dir / "checkpoints", driver, {}, files).save(20, model.state(), some_facts());
    } catch (const CheckpointError& e) {
      texts[static_cast<size_t>(driver.rank())] = e.what();
    }
    EXPECT_EQ(model, Model(driver.rank(), 2));
  });
  return texts;
}

TEST(Ranks, AFullDiskOnOneIsTheSameErrorOnAll) {
  for (const int k : {1, 2, 4}) {  // create, write, fsync of rank 1's file
    TempDir dir;
    save_model(dir / "checkpoints", 3, 10, 1);
    const std::vector<std::string> texts = failures(dir, 3, 1, k);
    EXPECT_THAT(texts[0], AllOf(HasSubstr("step-00000020 was not saved: rank 1: "), HasSubstr("rank-00001.safetensors"),
                                HasSubstr("No space left on device")));
    EXPECT_EQ(texts, std::vector<std::string>(3, texts[0]));
    EXPECT_EQ(names_in(dir / "checkpoints"), (std::vector<std::string>{"latest", "step-00000010"}));
    expect_each_loads_its_own(dir / "checkpoints", 3, 10, 1);
    save_model(dir / "checkpoints", 3, 20, 3);
    expect_each_loads_its_own(dir / "checkpoints", 3, 20, 3);
  }
}

TEST(Ranks, ADamagedFileOfOneMakesAllUseTheOlderCheckpoint) {
  TempDir dir;
  save_model(dir.path(), 3, 10, 1);
  save_model(dir.path(), 3, 20, 2);
  flip_bit(dir / "step-00000020/rank-00002.safetensors", 30);
  ::testing::internal::CaptureStderr();
  expect_each_loads_its_own(dir.path(), 3, 10, 1);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, AllOf(HasSubstr("skipping checkpoint step-00000020"), HasSubstr("rank-00002.safetensors is damaged")));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);  // told once, not by every rank
}

TEST(Ranks, WhatDoesNotFitOneIsLoadedByNone) {
  TempDir dir;
  save_model(dir.path(), 2, 10, 1);
  std::vector<std::string> texts(2);
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 9);
    State state = model.state();
    if (driver.rank() == 1) state.tensors[3].shape = {5, 1};
    texts[static_cast<size_t>(driver.rank())] = error_of([&] { Store(dir.path(), driver, {}).load(10, state); });
    EXPECT_EQ(model, Model(driver.rank(), 9));
  });
  EXPECT_THAT(texts[0], AllOf(HasSubstr("rank 1: "), HasSubstr("residual/weight: F32 [5] in the checkpoint, F32 [5, 1] in this run")));
  EXPECT_EQ(texts[0], texts[1]);
}

TEST(Ranks, MustAgreeOnWhatTheySave) {
  TempDir dir;
  const std::string text = error_of([&] {
    on_ranks(2, [&](comm::Driver& driver) {
      Model model(driver.rank(), 1);
      State state = model.state();
      state.numbers["step"] = driver.rank();
      Store(dir.path(), driver, {}).save(10, state, some_facts());
    });
  });
  EXPECT_THAT(text, HasSubstr("rank 1 differs from rank 0"));
  EXPECT_TRUE(names_in(dir.path()).empty());
}

TEST(Ranks, StorageThatIsNotSharedIsNamed) {
  TempDir dir;
  const std::string text = error_of([&] {
    on_ranks(2, [&](comm::Driver& driver) {
      Model model(driver.rank(), 1);
      Store(dir / ("host" + std::to_string(driver.rank())), driver, {}).save(10, model.state(), some_facts());
    });
  });
  EXPECT_THAT(text, AllOf(HasSubstr("rank 1"), HasSubstr("does not see"), HasSubstr("run.dir must be on storage that every host shares")));
}

TEST(Together, GivesEveryoneAllResults) {
  on_ranks(3, [](comm::Driver& driver) {
    Worker worker;
    const auto results = together(driver, worker, "test", [&]() -> std::string {
      if (driver.rank() == 1) throw CheckpointError("no");
      return "done by " + std::to_string(driver.rank());
    });
    ASSERT_EQ(results.size(), 3u);
    EXPECT_EQ(results[0].text, "done by 0");
    EXPECT_FALSE(results[1].ok);
    EXPECT_EQ(results[1].text, "no");
    EXPECT_TRUE(results[2].ok);
    EXPECT_THAT(error_of([&] { throw_if_any_failed(results, "test"); }), HasSubstr("test: rank 1: no"));
  });
}

TEST(Together, AllThatFailedAreNamedWithTheFirstOnesReason) {
  const std::vector<RankResult> results = {{true, ""}, {false, "no"}, {true, ""}, {false, "never"}};
  EXPECT_EQ(error_of([&] { throw_if_any_failed(results, "test"); }), "test: ranks 1, 3: no");
}

// Work that takes longer than the wire waits for a message must not look like a lost peer.
TEST(Together, ASlowDiskIsNoLostPeer) {
  on_ranks(
      2,
      [](comm::Driver& driver) {
        Worker worker;
    const auto results = together(driver, worker, "test", [&] {
          if (driver.rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(900));
          return std::string("done");
        });
        EXPECT_TRUE(results[0].ok && results[1].ok);
      },
      0.7);
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

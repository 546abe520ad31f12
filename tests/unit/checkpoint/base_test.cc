// Checkpoints that are coded against the one before: when, how far back, and what becomes of them when that one is not what it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/chain.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const CheckpointOptions kPrevious = {.keep = 0, .base = "previous"};

CheckpointOptions keeping(int64_t keep) { return {.keep = keep, .base = "previous"}; }

std::optional<int64_t> base_of(const fs::path& step_directory) {
  const Manifest manifest = read_manifest(step_directory);
  return manifest.base ? std::optional(manifest.base->step) : std::nullopt;
}

std::optional<int64_t> newest_good(const fs::path& directory) {
  std::optional<int64_t> newest;
  on_ranks(1, [&](comm::Driver& driver) { newest = Store(directory, driver, {}).newest_good(); });
  return newest;
}

// The seeds of a model differ in the 15th bit of its tables' values (support.cc), so most of 24 bits of mantissa go.
TEST(Base, MakesWhatChangedLittleSmaller) {
  TempDir dir;
  save_model(dir / "alone", 2, 20, 2);
  save_model(dir / "chain", 2, 10, 1, kPrevious);
  save_model(dir / "chain", 2, 20, 2, kPrevious);
  EXPECT_EQ(base_of(dir / "chain/step-00000010"), std::nullopt);
  EXPECT_EQ(base_of(dir / "chain/step-00000020"), 10);
  for (const char* file : {"model.safetensors", "rank-00000.safetensors", "rank-00001.safetensors"}) {
    const fs::path path = fs::path("step-00000020") / file;
    EXPECT_LT(fs::file_size(dir / "chain" / path) + 1000, fs::file_size(dir / "alone" / path)) << file;
  }
  EXPECT_THAT(verify(dir / "chain/step-00000020"), IsEmpty());
  EXPECT_EQ(list(dir / "chain")[0].base, std::nullopt);
  EXPECT_EQ(list(dir / "chain")[1].base, 10);
  EXPECT_THAT(inspect(dir / "chain/step-00000020"), HasSubstr("needs step-00000010, whose manifest has XXH3 "));
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 9);
    State state = model.state();
    Store(dir / "chain", driver, {}).load(20, state);
    model.numbers = state.numbers;
    EXPECT_EQ(model, Model(driver.rank(), 2));
  });
}

TEST(Base, IsSaidWhereATensorNeedsIt) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1, kPrevious);
  save_model(dir.path(), 1, 20, 2, kPrevious);
  const SafetensorsFile file(dir / "step-00000020/model.safetensors");
  EXPECT_THAT(file.metadata().at("coding/model/table"), HasSubstr(R"("coding":"exact_from_base")"));
  EXPECT_EQ(stored_tensors(file).at("model/half").coding, Coding::none);
}

TEST(Base, IsNotUsedUnlessAskedForNorRaw) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1);
  save_model(dir.path(), 1, 20, 1);
  EXPECT_EQ(base_of(dir / "step-00000020"), std::nullopt);
  save_model(dir.path(), 1, 30, 1, CheckpointOptions{.keep = 0, .mode = "raw", .base = "previous"});
  EXPECT_EQ(base_of(dir / "step-00000030"), std::nullopt);
  save_model(dir.path(), 1, 40, 1, kPrevious);  // but a raw one may be a base
  EXPECT_EQ(base_of(dir / "step-00000040"), 30);
  EXPECT_TRUE(loads_as(dir.path(), 40, 1));
}

// Values that have nothing to do with those before.
TEST(Base, IsNotUsedWhereItDoesNotPay) {
  TempDir dir;
  for (const int64_t step : {10, 20}) {
    std::vector<float> values(4000);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(Draw(static_cast<uint64_t>(step)).normal(i));
    on_ranks(1, [&](comm::Driver& driver) {
      const State state{{{"values", DType::f32, {4000}, std::as_writable_bytes(std::span(values))}}, {}};
      Store(dir.path(), driver, kPrevious).save(step, state, some_facts());
    });
  }
  EXPECT_EQ(base_of(dir / "step-00000020"), std::nullopt);
}

TEST(Base, OfAnotherShapeOrWorldIsNotUsed) {
  TempDir dir;
  save_model(dir.path(), 2, 10, 1, kPrevious);
  save_model(dir.path(), 1, 20, 1, kPrevious);
  EXPECT_EQ(base_of(dir / "step-00000020"), std::nullopt);
  on_ranks(1, [&](comm::Driver& driver) {
    Model model(0, 1);
    State state = model.state();
    state.tensors.erase(state.tensors.begin() + 6);
    state.tensors[5].memory = state.tensors[5].memory.first(39 * 32 * 4);
    state.tensors[5].shape = {39, 32};
    Store store(dir.path(), driver, kPrevious);
    store.save(30, state, some_facts());
    store.load(30, state);
  });
  EXPECT_EQ(base_of(dir / "step-00000030"), std::nullopt);
}

TEST(Base, ChainsEndWithACheckpointInFull) {
  TempDir dir;
  std::vector<int64_t> in_full;
  for (int64_t step = 1; step <= 12; ++step) {
    save_model(dir.path(), 1, step, static_cast<uint64_t>(step), kPrevious);
    if (!base_of(dir / step_name(step))) in_full.push_back(step);
    EXPECT_TRUE(loads_as(dir.path(), step, static_cast<uint64_t>(step)));
  }
  EXPECT_THAT(in_full, ElementsAre(1, 2 + kMostExactBases, 3 + 2 * kMostExactBases));
  EXPECT_EQ(read_chain(dir / step_name(1 + kMostExactBases)).size(), 1 + kMostExactBases);
}

TEST(Base, StaysAsLongAsAKeptCheckpointNeedsIt) {
  TempDir dir;
  for (int64_t step = 1; step <= 3; ++step) save_model(dir.path(), 1, step, static_cast<uint64_t>(step), keeping(1));
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000001", "step-00000002", "step-00000003"));
  save_model(dir.path(), 1, 4, 4, 1);  // in full
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000004"));
  EXPECT_TRUE(loads_as(dir.path(), 4, 4));
}

TEST(Base, ThatIsSavedAgainStaysUnderAnotherName) {
  TempDir dir;
  save_model(dir.path(), 1, 10, 1, kPrevious);
  save_model(dir.path(), 1, 20, 2, kPrevious);
  for (const uint64_t seed : {3, 4}) {  // the second time nothing needs what is replaced
    save_model(dir.path(), 1, 10, seed, kPrevious);
    EXPECT_THAT(names_in(dir.path()),
                ElementsAre(::testing::MatchesRegex("\\.base-step-00000010-[0-9a-f]{8}"), "latest", "step-00000010", "step-00000020"));
    EXPECT_TRUE(loads_as(dir.path(), 10, seed));
    EXPECT_TRUE(loads_as(dir.path(), 20, 2));
    EXPECT_THAT(verify(dir / "step-00000020"), IsEmpty());
  }
  save_model(dir.path(), 1, 20, 5, 0);
  EXPECT_THAT(names_in(dir.path()), ElementsAre("latest", "step-00000010", "step-00000020"));
}

class DamagedBase : public ::testing::Test {
 protected:
  void SetUp() override {
    save_model(dir_.path(), 1, 5, 5);
    save_model(dir_.path(), 1, 10, 1);
    save_model(dir_.path(), 1, 20, 2, kPrevious);
  }
  // Neither step 10 nor step 20 can be used, and both messages say why.
  void expect_step_5_because(const std::string& what) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(newest_good(dir_.path()), 5);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("step-00000020 is coded against step-00000010, which cannot be used: "), HasSubstr(what)));
    EXPECT_THAT(verify(dir_ / "step-00000020"), ::testing::Contains(AllOf(HasSubstr("step-00000010"), HasSubstr(what))));
    Model model(0, 9);
    EXPECT_THAT(error_of([&] {
                  on_ranks(1, [&](comm::Driver& driver) {
                    State state = model.state();
                    Store(dir_.path(), driver, {}).load(20, state);
                  });
                }),
                AllOf(HasSubstr("step-00000010"), HasSubstr(what)));
    EXPECT_EQ(model, Model(0, 9));
  }
  TempDir dir_;
};

TEST_F(DamagedBase, IsNamed) {
  const fs::path path = dir_ / "step-00000010/rank-00000.safetensors";
  flip_bit(path, read(path).size() - 1);
  expect_step_5_because("rank-00000.safetensors is damaged");
}

TEST_F(DamagedBase, ThatIsGoneIsNamed) {
  fs::remove_all(dir_ / "step-00000010");
  expect_step_5_because("is gone");
}

TEST_F(DamagedBase, ThatIsIncompleteIsNamed) {
  fs::remove(dir_ / "step-00000010/rank-00000.safetensors");
  expect_step_5_because("No such file");
}

TEST_F(DamagedBase, ACheckpointOfTheSameStepIsNoSubstitute) {
  fs::remove_all(dir_ / "step-00000010");
  save_model(dir_ / "other", 1, 10, 7);
  fs::rename(dir_ / "other/step-00000010", dir_ / "step-00000010");
  EXPECT_THAT(error_of([&] { read_chain(dir_ / "step-00000020"); }), HasSubstr("step-00000010 is another checkpoint of that step"));
  EXPECT_THAT(verify(dir_ / "step-00000010"), IsEmpty());
}

// Also where no tensor of it is coded: no later checkpoint could be used either.
TEST_F(DamagedBase, IsNotBuiltUpon) {
  const fs::path path = dir_ / "step-00000010/model.safetensors";
  fs::remove_all(dir_ / "step-00000020");
  const std::string before = read(path);
  for (const size_t at : {size_t{9}, before.size() / 2, before.size() - 1}) {
    flip_bit(path, at);
    ::testing::internal::CaptureStderr();
    save_model(dir_.path(), 1, 20, 2, kPrevious);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                AllOf(HasSubstr("step-00000020 stands alone"), HasSubstr("model.safetensors is damaged")));
    EXPECT_EQ(base_of(dir_ / "step-00000020"), std::nullopt);
    EXPECT_TRUE(loads_as(dir_.path(), 20, 2));
    write(path, before);
  }
}

TEST_F(DamagedBase, WhoseManifestIsDamagedIsNotChosen) {
  fs::remove_all(dir_ / "step-00000020");
  flip_bit(dir_ / "step-00000010/manifest.json", 100);
  ::testing::internal::CaptureStderr();
  save_model(dir_.path(), 1, 20, 2, kPrevious);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("step-00000020 stands alone"), HasSubstr("manifest.json is damaged")));
  EXPECT_EQ(base_of(dir_ / "step-00000020"), std::nullopt);
  EXPECT_TRUE(loads_as(dir_.path(), 20, 2));
}

// Manifests that claim what no save writes.
class ForgedChain : public ::testing::Test {
 protected:
  void edit(int64_t step, const std::function<void(Manifest&)>& change) {
    const fs::path path = dir_ / step_name(step);
    Manifest manifest = read_manifest(path);
    change(manifest);
    const std::string json = to_json(manifest);
    write(path / kManifestName, json);
    write(path / kCompleteName, complete_text(hash64(json)));
  }
  void make_chain(int64_t length) {
    for (int64_t step = 1; step <= length; ++step) {
      save_model(dir_.path(), 1, step, 1);
      if (step > 1) edit(step, [&](Manifest& manifest) { manifest.base = {step - 1, read_manifest(dir_ / step_name(step - 1)).hash}; });
    }
  }
  std::string error(int64_t step) {
    return error_of([&] { read_chain(dir_ / step_name(step)); });
  }
  TempDir dir_;
};

TEST_F(ForgedChain, IsNotFollowedForEver) {
  make_chain(2 + static_cast<int64_t>(kMostBases));
  EXPECT_EQ(read_chain(dir_ / step_name(1 + kMostBases)).size(), 1 + kMostBases);
  EXPECT_THAT(error(2 + kMostBases), HasSubstr("more than 8 bases"));
}

TEST_F(ForgedChain, OfAnotherWorldIsRefused) {
  make_chain(1);
  edit(1, [](Manifest& manifest) { manifest.world = 2; });
  save_model(dir_.path(), 1, 2, 1);
  edit(2, [&](Manifest& manifest) { manifest.base = {1, read_manifest(dir_ / step_name(1)).hash}; });
  EXPECT_THAT(error(2), HasSubstr("step-00000001 is of 2 ranks"));
}

TEST_F(ForgedChain, WithoutTheBaseThatATensorNeedsIsRefused) {
  save_model(dir_.path(), 1, 1, 1, kPrevious);
  save_model(dir_.path(), 1, 2, 2, kPrevious);
  edit(2, [](Manifest& manifest) { manifest.base.reset(); });
  EXPECT_THAT(verify(dir_ / step_name(2)), ::testing::Contains(AllOf(HasSubstr("/table'"), HasSubstr("coded against a base"))));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

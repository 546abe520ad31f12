// Checkpoints made of checkpoints: another way of storing, and averages.
#include "checkpoint/rewrite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Tolerance residuals(std::string_view name) { return name == "residual/table" ? Tolerance::residual : Tolerance::none; }
bool is_model(std::string_view name) { return name.starts_with("model/"); }

std::string usage_error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no usage error";
}

Rewrite into(const fs::path& directory, const std::string& mode = "exact") { return {directory, {.mode = mode}, "9.9.9", residuals}; }

TEST(Convert, HoldsTheSameInEveryModeAndNeedsNoBase) {
  TempDir dir;
  const CheckpointOptions chained{.keep = 0, .base = "previous"};
  save_model(dir / "from", 2, 10, 1, chained);
  save_model(dir / "from", 2, 20, 2, chained);
  ASSERT_TRUE(read_manifest(dir / "from/step-00000020").base);
  const fs::path from = dir / "from/step-00000020";
  for (const char* mode : {"raw", "exact"}) {
    const fs::path made = convert(from, into(dir / mode, mode));
    EXPECT_EQ(made, dir / mode / "step-00000020");
    EXPECT_EQ(names_in(dir / mode), (std::vector<std::string>{"step-00000020"}));
    EXPECT_THAT(verify(made), IsEmpty());
    EXPECT_TRUE(diff(from, made).are_equal);
    const Manifest manifest = read_manifest(made), before = read_manifest(from);
    EXPECT_FALSE(manifest.base);
    EXPECT_EQ(manifest.facts.version, "9.9.9");
    EXPECT_EQ(manifest.facts.config, before.facts.config);
    EXPECT_EQ(manifest.numbers, before.numbers);
    EXPECT_EQ(manifest.created, before.created);
    EXPECT_EQ(manifest.world, 2);
    EXPECT_THAT(manifest.facts.lossy_restores, IsEmpty());
  }
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 77);
    State state = model.state();
    Store(dir / "raw", driver, {}).load(20, state);
    model.numbers = state.numbers;
    EXPECT_EQ(model, Model(driver.rank(), 2));
  });
}

TEST(Convert, WhatIsLostStaysLostAndIsSaid) {
  TempDir dir;
  save_model(dir / "from", 1, 10, 1);
  const fs::path near = convert(dir / "from/step-00000010", into(dir / "near", "near_exact"));
  EXPECT_TRUE(read_manifest(near).is_lossy());
  EXPECT_THAT(diff(dir / "from/step-00000010", near).text, HasSubstr("6 tensors are equal, 1 differ"));
  const fs::path back = convert(near, into(dir / "back"));
  const Manifest manifest = read_manifest(back);
  EXPECT_FALSE(manifest.is_lossy());
  EXPECT_EQ(manifest.facts.lossy_restores, (std::vector<LossyRestore>{{10, read_manifest(near).hash, "near_exact"}}));
  EXPECT_TRUE(diff(near, back).are_equal);
}

TEST(Convert, RefusesDamageAndAnOccupiedPlace) {
  TempDir dir;
  save_model(dir / "from", 1, 10, 1);
  const fs::path from = dir / "from/step-00000010";
  convert(from, into(dir / "to"));
  EXPECT_THAT(usage_error_of([&] { convert(from, into(dir / "to")); }), HasSubstr("step-00000010 exists already"));
  flip_bit(from / "rank-00000.safetensors", 800);
  EXPECT_THAT(error_of([&] { convert(from, into(dir / "other")); }), HasSubstr("rank-00000.safetensors is damaged"));
  EXPECT_FALSE(fs::exists(dir / "other"));
  EXPECT_THAT(error_of([&] { convert(dir / "from/step-00000099", into(dir / "other")); }), HasSubstr("incomplete"));
}

TEST(Average, IsTheMeanOfWeightsAndTheNewestOfTheRest) {
  TempDir dir;
  for (const int64_t step : {10, 20, 30}) save_model(dir.path(), 2, step, static_cast<uint64_t>(step));
  const auto path = [&](int step) { return dir / ("step-000000" + std::to_string(step)); };
  const fs::path made = average({path(30), path(10), path(20)}, into(dir / "mean"), is_model);
  EXPECT_EQ(made, dir / "mean/step-00000030");
  EXPECT_THAT(verify(made), IsEmpty());
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 77);
    State state = model.state();
    Store(dir / "mean", driver, {}).load(30, state);
    const Model a(driver.rank(), 10), b(driver.rank(), 20), c(driver.rank(), 30);
    for (size_t i = 0; i < model.table.size(); ++i)
      ASSERT_EQ(model.table[i], static_cast<float>((double(a.table[i]) + b.table[i] + c.table[i]) / 3));
    EXPECT_EQ(model.residual, c.residual);
    EXPECT_EQ(model.own_table, c.own_table);
    EXPECT_EQ(model.counter, c.counter);
    EXPECT_EQ(state.numbers, c.numbers);
  });
  const Manifest manifest = read_manifest(made);
  std::vector<std::pair<int64_t, std::string>> sources;
  for (const auto& restore : manifest.facts.lossy_restores) sources.emplace_back(restore.step, restore.how);
  EXPECT_EQ(sources, (std::vector<std::pair<int64_t, std::string>>{{10, "average"}, {20, "average"}, {30, "average"}}));
}

TEST(Average, RefusesWhatDoesNotFit) {
  TempDir dir;
  save_model(dir / "a", 1, 10, 1);
  save_model(dir / "b", 2, 20, 1);
  save_model(dir / "c", 1, 10, 1);
  const auto refusal = [&](std::vector<fs::path> paths) { return error_of([&] { average(paths, into(dir / "mean"), is_model); }); };
  const fs::path a = dir / "a/step-00000010";
  EXPECT_THAT(usage_error_of([&] { average({a}, into(dir / "mean"), is_model); }), HasSubstr("two checkpoints or more"));
  const fs::path same = dir / "a/../a/step-00000010";
  EXPECT_THAT(usage_error_of([&] { average({a, same}, into(dir / "mean"), is_model); }), HasSubstr("named twice"));
  EXPECT_THAT(refusal({a, dir / "b/step-00000020"}), HasSubstr("are of 2 and 1 ranks"));
  EXPECT_THAT(refusal({a, dir / "c/step-00000010"}), HasSubstr("of the same step"));
  on_ranks(1, [&](comm::Driver& driver) {
    Model model(0, 1);
    State state = model.state();
    state.tensors[0].shape = {6};
    Store(dir / "d", driver, {}).save(20, state, some_facts());
    state.tensors[0].name = "model/other";
    Store(dir / "e", driver, {}).save(20, state, some_facts());
  });
  EXPECT_THAT(refusal({a, dir / "d/step-00000020"}), HasSubstr("'model/weight' is F32 [6], in another checkpoint F32 [2, 3]"));
  EXPECT_THAT(refusal({a, dir / "e/step-00000020"}), HasSubstr("e/step-00000020/model.safetensors: tensor 'model/weight' is not there"));
  EXPECT_FALSE(fs::exists(dir / "mean"));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

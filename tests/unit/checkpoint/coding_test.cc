// Tensors that are stored coded: what the files say of them, that they come back, and that damage is told.
#include "checkpoint/coding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/draw.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/exact/tensor.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/shards.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void save(const fs::path& directory, const State& state, const CheckpointOptions& options, int64_t step = 10) {
  on_ranks(1, [&](comm::Driver& driver) { Store(directory, driver, options).save(step, state, some_facts()); });
}

// Floats of two chunks and a bit, one of integers that repeat, and noise that no coding shortens.
struct Tensors {
  std::vector<float> weights;
  std::vector<int64_t> counters;
  std::vector<uint8_t> noise;
  explicit Tensors(uint64_t seed = 1) : weights(2 * exact::kChunkElems + 1000), counters(5000, 7), noise(3000) {
    const Draw draw(seed);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.04f * static_cast<float>(draw.normal(i));
    for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<uint8_t>(draw.bits(1'000'000 + i));
  }
  State state() {
    const auto bytes = [](auto& values) { return std::as_writable_bytes(std::span(values)); };
    return {{{"weights", DType::f32, {static_cast<int64_t>(weights.size()) / 8, 8}, bytes(weights)},
             {"counters", DType::i64, {5000}, bytes(counters)},
             {"noise", DType::u8, {30, 100}, bytes(noise)}},
            {{"step", 1}}};
  }
  bool operator==(const Tensors&) const = default;
};

void load(const fs::path& directory, Tensors& into, const CheckpointOptions& options = {}) {
  on_ranks(1, [&](comm::Driver& driver) {
    State state = into.state();
    Store(directory, driver, options).load(10, state);
  });
}

TEST(Coding, ComesBackBitForBitInEitherModeByAnyNumberOfThreads) {
  for (const char* mode : {"exact", "raw"}) {
    for (const int64_t threads : {1, 3}) {
      TempDir dir;
      Tensors saved, loaded(2);
      save(dir.path(), saved.state(), {.mode = mode, .threads = threads});
      EXPECT_THAT(verify(dir / "step-00000010"), IsEmpty());
      load(dir.path(), loaded, {.threads = threads});
      EXPECT_EQ(saved, loaded) << mode << " " << threads;
    }
  }
}

TEST(Coding, ThreadsChangeNoByte) {
  TempDir dir;
  Tensors tensors;
  save(dir / "a", tensors.state(), {.threads = 1});
  save(dir / "b", tensors.state(), {.threads = 4});
  EXPECT_EQ(read(dir / "a/step-00000010/model.safetensors"), read(dir / "b/step-00000010/model.safetensors"));
}

TEST(Coding, WhatGetsSmallerIsAU8TensorAndTheRestIsAsItWas) {
  TempDir dir;
  Tensors tensors;
  save(dir.path(), tensors.state(), {});
  const SafetensorsFile file(dir / "step-00000010/model.safetensors");
  EXPECT_EQ(file.tensors().at("weights").dtype, DType::u8);
  EXPECT_EQ(file.metadata().at("coding/weights"), R"({"coding":"exact","dtype":"F32","shape":[65661,8]})");
  EXPECT_EQ(file.tensors().at("noise").shape, (std::vector<int64_t>{30, 100}));
  EXPECT_FALSE(file.metadata().contains("coding/noise"));
  const auto stored = stored_tensors(file);
  EXPECT_EQ(stored.at("weights").dtype, DType::f32);
  EXPECT_EQ(stored.at("weights").shape, (std::vector<int64_t>{65661, 8}));
  EXPECT_EQ(stored.at("counters").coding, Coding::exact);
  EXPECT_LT(stored.at("counters").stored_bytes(), 200u);  // one chunk of equal numbers
  EXPECT_EQ(stored.at("noise").coding, Coding::none);
  for (const auto& tensor : read_manifest(dir / "step-00000010").tensors) {
    EXPECT_EQ(tensor.dtype, stored.at(tensor.name).dtype);
    EXPECT_EQ(tensor.shape, stored.at(tensor.name).shape);
    EXPECT_EQ(tensor.stored_bytes, stored.at(tensor.name).stored_bytes());
  }
}

// Shapes of 4 bytes each take more in metadata than a coding could save.
TEST(Coding, ShortTensorsStayAsTheyAre) {
  TempDir dir;
  std::vector<float> zeros(20);
  const State state{{{"short", DType::f32, {20}, std::as_writable_bytes(std::span(zeros))}}, {}};
  save(dir.path(), state, {});
  EXPECT_EQ(stored_tensors(SafetensorsFile(dir / "step-00000010/model.safetensors")).at("short").coding, Coding::none);
}

TEST(Coding, RawStoresWhatIsInMemory) {
  TempDir dir;
  Tensors tensors;
  save(dir.path(), tensors.state(), {.mode = "raw"});
  const SafetensorsFile file(dir / "step-00000010/model.safetensors");
  const ConstBytes memory = bytes_of(std::span<const float>(tensors.weights));
  EXPECT_TRUE(std::ranges::equal(file.data("weights"), memory));
}

// Where chunks meet, in the table, in metadata, and at random places.
TEST(Coding, ABitThatFlipsInACodingIsFoundAndTheOlderCheckpointIsUsed) {
  TempDir dir;
  Tensors tensors;
  save(dir.path(), tensors.state(), {}, 5);
  save(dir.path(), tensors.state(), {}, 10);
  const fs::path path = dir / "step-00000010/model.safetensors";
  const std::string before = read(path);
  const SafetensorsFile file(path);
  const TensorEntry& entry = file.tensors().at("weights");
  const std::vector<std::byte> coded = file.data("weights");
  const exact::Table table = exact::parse_table(coded, coded.size(), "weights");
  const uint64_t first_tensor = before.size() - std::max(entry.end, file.tensors().at("noise").end);
  const uint64_t begin = first_tensor + entry.begin, chunks = begin + exact::table_bytes(tensors.weights.size());
  std::vector<uint64_t> places = {20, begin, begin + 24, chunks - 1};
  for (const auto& chunk : table.chunks) places.insert(places.end(), {chunks + chunk.begin - 1, chunks + chunk.begin});
  for (uint64_t i = 0; i < 10; ++i) places.push_back(Draw(3).below(i, before.size()));
  for (const uint64_t place : places) {
    flip_bit(path, place);
    on_ranks(1, [&](comm::Driver& driver) { EXPECT_EQ(Store(dir.path(), driver, {}).newest_good(), 5) << place; });
    write(path, before);
  }
}

// Many small tensors with long names, of which half are coded: what is said of them takes more than they do.
TEST(Coding, TheEstimateOfItsSizeIsAnUpperBound) {
  std::vector<std::vector<float>> values(60, std::vector<float>(100, 1));
  State state;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 2 == 0) values[i].resize(3);
    const std::string name = "model/" + std::string(100, 'n') + std::to_string(i);
    state.tensors.push_back({name, DType::f32, std::vector<int64_t>(1, static_cast<int64_t>(values[i].size())),
                             std::as_writable_bytes(std::span(values[i])), i % 3 == 0 ? Scope::per_rank : Scope::replicated});
  }
  TempDir dir;
  save(dir.path(), state, {});
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(dir / "step-00000010")) bytes += entry.file_size();
  EXPECT_LE(bytes, estimated_bytes(0, state));
}

std::string file_of(const std::string& metadata, const std::string& dtype, size_t bytes) {
  std::string header = R"({"__metadata__":{)" + metadata + R"(},"w":{"dtype":")" + dtype + R"(","shape":[)" + std::to_string(bytes) +
                       R"(],"data_offsets":[0,)" + std::to_string(bytes) + "]}}";
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  return length + header + std::string(bytes, 'x');
}
std::string coding_of(const std::string& name, const std::string& coding, const std::string& dtype, const std::string& shape) {
  return "\"coding/" + name + R"(":"{\"coding\":\")" + coding + R"(\",\"dtype\":\")" + dtype + R"(\",\"shape\":)" + shape + "}\"";
}

TEST(Coding, RefusesMetadataThatDoNotFit) {
  const std::vector<std::array<std::string, 3>> table = {
      {coding_of("v", "exact", "F32", "[3]"), "U8", "tensor 'v': it has a coding, but is not there"},
      {coding_of("w", "exact", "F32", "[3]"), "I64", "a row of U8"},
      {coding_of("w", "slow", "F32", "[3]"), "U8", "unknown coding 'slow'"},
      {coding_of("w", "exact", "F31", "[3]"), "U8", "unknown dtype 'F31'"},
      {coding_of("w", "exact", "F32", "[-3]"), "U8", "dimension"},
      {coding_of("w", "exact", "F32", "[4294967296,4294967296,4]"), "U8", "overflows"},
      {coding_of("w", "exact", "F32", "[3000000]"), "U8", "200 bytes cannot hold its shape"},  // twelve chunks take 272 bytes of table
      {R"("coding/w":"{}")", "U8", "does not consist of coding, dtype and shape"},
      {R"("coding/w":"exact")", "U8", "not valid JSON"},
  };
  TempDir dir;
  for (const auto& [metadata, dtype, says] : table) {
    write(dir / "a", file_of(metadata, dtype, 200));
    std::string text;
    if (dtype == "I64") {  // eight bytes each
      write_safetensors(dir / "b", {{"w", DType::i64, {}, std::as_bytes(std::span("1234567", 8))}},
                        {{"coding/w", R"({"coding":"exact","dtype":"F32","shape":[3]})"}});
      text = error_of([&] { stored_tensors(SafetensorsFile(dir / "b")); });
    } else {
      text = error_of([&] { stored_tensors(SafetensorsFile(dir / "a")); });
    }
    EXPECT_THAT(text, AllOf(HasSubstr(dir.path().string()), HasSubstr(says)));
  }
}

TEST(Golden, ACheckpointOfVersion1IsListedVerifiedAndLoaded) {
  const fs::path golden = fs::path(THINWIRE_SOURCE_DIR) / "tests/golden/checkpoint/version1";
  EXPECT_THAT(verify(golden / "step-00000010"), IsEmpty());
  ASSERT_EQ(list(golden).size(), 1u);
  EXPECT_THAT(inspect(golden / "step-00000010"), HasSubstr("replicated model/weight F32 [2, 3]"));
  on_ranks(2, [&](comm::Driver& driver) {
    const Model saved(driver.rank(), 77);
    Model model(driver.rank(), 1);
    State state = model.state();
    state.tensors.resize(5);  // the first five were all there was
    Store store(golden, driver, {});
    EXPECT_EQ(store.newest_good(), 10);
    store.load(10, state);
    EXPECT_EQ(model.weight, saved.weight);
    EXPECT_EQ(model.half, saved.half);
    EXPECT_EQ(model.residual, saved.residual);
    EXPECT_EQ(model.counter, saved.counter);
    EXPECT_EQ(state.numbers, saved.numbers);
  });
}

// Step 10 of seed 77 stands alone, step 20 of seed 78 is coded against it. `exact`, two ranks.
class GoldenBases : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Versions, GoldenBases, ::testing::Values("version2", "version5"),
                         [](const auto& version) { return version.param; });

TEST_P(GoldenBases, AreVerifiedAndLoaded) {
  const fs::path golden = fs::path(THINWIRE_SOURCE_DIR) / "tests/golden/checkpoint" / GetParam();
  for (const int64_t step : {10, 20}) {
    const uint64_t seed = step == 10 ? 77 : 78;
    EXPECT_THAT(verify(golden / step_name(step)), IsEmpty());
    EXPECT_EQ(read_manifest(golden / step_name(step)).base.has_value(), step == 20);
    on_ranks(2, [&](comm::Driver& driver) {
      Model model(driver.rank(), 1);
      State state = model.state();
      Store(golden, driver, {}).load(step, state);
      model.numbers = state.numbers;
      EXPECT_EQ(model, Model(driver.rank(), seed));
    });
  }
}

// Of numbers whose levels and scales are known: each block begins with its largest, q (or q^2), so that its scale is 1. Values lie a
// quarter above whole numbers, to which they are rounded; squares half below those of whole numbers, to which they are raised.
struct NearGolden {
  static constexpr size_t kElems = 12 * 256 + 100;
  std::vector<float> weights, moments, squares, residuals;
  NearGolden(int bits, bool is_decoded) {
    const int q = bits == 8 ? 127 : 7, root = bits == 8 ? 255 : 15;
    const float quarter = is_decoded ? 0 : 0.25f, half = is_decoded ? 0 : 0.5f;
    for (uint32_t i = 0; i < kElems; ++i) {
      const bool first = i % 256 == 0;
      const auto value = [&](int most) {
        return first ? static_cast<float>(most) : static_cast<float>(i * 37 % (2 * most - 1)) - static_cast<float>(most - 1) + quarter;
      };
      const auto k = static_cast<float>(1 + i * 53 % (root - 1));
      weights.push_back(std::ldexp(1 + static_cast<float>(i * 2654435761u >> 9) * 0x1p-23f, static_cast<int>(i % 5) - 7));
      moments.push_back(value(q));
      residuals.push_back(value(127));
      squares.push_back(first ? static_cast<float>(root * root) : k * k - half);
    }
  }
  State state() {
    const auto add = [](const char* name, std::vector<float>& values, Scope scope, Tolerance tolerance) -> StateTensor {
      return {name, DType::f32, {static_cast<int64_t>(values.size())}, std::as_writable_bytes(std::span(values)), scope, {}, tolerance};
    };
    return {
        {add("model/w", weights, Scope::replicated, Tolerance::none), add("optim/exp_avg/w", moments, Scope::replicated, Tolerance::moment),
         add("optim/exp_avg_sq/w", squares, Scope::replicated, Tolerance::second_moment),
         add("exchange/residual/w", residuals, Scope::per_rank, Tolerance::residual)},
        {{"step", 1}}};
  }
  bool operator==(const NearGolden&) const = default;
};

// Near-exact, moments in 8 bits (step 10) and in 4 (step 20, whose weights are coded against step 10). Version 3, one rank.
TEST(Golden, NearExactCheckpointsOfVersion3AreVerifiedAndLoaded) {
  const fs::path golden = fs::path(THINWIRE_SOURCE_DIR) / "tests/golden/checkpoint/version3";
  for (const int64_t step : {10, 20}) {
    const int bits = step == 10 ? 8 : 4;
    EXPECT_THAT(verify(golden / step_name(step)), IsEmpty());
    EXPECT_TRUE(read_manifest(golden / step_name(step)).is_lossy());
    NearGolden loaded(bits, false);
    on_ranks(1, [&](comm::Driver& driver) {
      State state = loaded.state();
      Store(golden, driver, {}).load(step, state);
    });
    EXPECT_EQ(loaded, NearGolden(bits, true)) << bits << " bits";
    EXPECT_NE(loaded, NearGolden(bits, false));
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

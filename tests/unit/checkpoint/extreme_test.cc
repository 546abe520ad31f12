// checkpoint.mode extreme: what comes back, chains, what the manifest says, and damage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/draw.h"
#include "base/hash.h"
#include "checkpoint/chain.h"
#include "checkpoint/layout.h"
#include "checkpoint/rewrite.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const CheckpointOptions kMild{.keep = 0, .mode = "extreme"}, kAggressive{.keep = 0, .mode = "extreme", .pruning = "aggressive"};

// Weights of 40 by 100 that take a step between two saves, AdamW's moments, a residual, and a counter.
struct Adam {
  static constexpr size_t kElems = 40 * 100;
  std::vector<float> weight, mean, square, residual, small;
  std::vector<int64_t> counter = {7};
  explicit Adam(uint64_t seed) : weight(kElems), mean(kElems), square(kElems), residual(300), small(3, 1.5f) {
    const Draw draw(seed), before(0);
    for (size_t i = 0; i < kElems; ++i) {
      weight[i] = 0.04f * static_cast<float>(before.normal(i)) + 0.001f * static_cast<float>(seed) * static_cast<float>(draw.normal(i));
      mean[i] = 1e-4f * static_cast<float>(draw.normal(1'000'000 + i));
      square[i] = 1e-7f * static_cast<float>(std::pow(draw.normal(2'000'000 + i), 2));
    }
    for (size_t i = 0; i < residual.size(); ++i) residual[i] = static_cast<float>(draw.normal(3'000'000 + i));
  }
  State state() {
    const auto add = [](const char* name, std::vector<float>& values, std::vector<int64_t> shape, Tolerance tolerance, const char* guide) {
      return StateTensor{name,      DType::f32, std::move(shape), std::as_writable_bytes(std::span(values)), Scope::replicated, {},
                         tolerance, guide};
    };
    State state{{add("optim/v/w", square, {40, 100}, Tolerance::second_moment, "optim/m/w"),
                 add("model/w", weight, {40, 100}, Tolerance::weight, ""), add("optim/m/w", mean, {40, 100}, Tolerance::moment, "model/w"),
                 add("model/small", small, {3}, Tolerance::weight, ""), add("residual/w", residual, {300}, Tolerance::residual, "")},
                {{"step", 10}}};
    state.tensors.back().scope = Scope::per_rank;
    state.tensors.push_back({"counter", DType::i64, {1}, std::as_writable_bytes(std::span(counter)), Scope::replicated});
    return state;
  }
};

void save(const fs::path& directory, Adam adam, int64_t step, const CheckpointOptions& options = kMild, RunFacts facts = some_facts()) {
  on_ranks(1, [&](comm::Driver& driver) { Store(directory, driver, options).save(step, adam.state(), facts); });
}

Adam loaded(const fs::path& directory, int64_t step) {
  Adam adam(99);
  on_ranks(1, [&](comm::Driver& driver) {
    State state = adam.state();
    Store(directory, driver, {.threads = 2}).load(step, state);
  });
  return adam;
}

size_t values_in(const std::vector<float>& numbers) { return std::set<float>(numbers.begin(), numbers.end()).size(); }

double furthest(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
  return most;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

std::map<std::string, extreme::Form> stated(const fs::path& step_directory) {
  std::map<std::string, extreme::Form> forms;
  for (const ManifestTensor& tensor : read_manifest(step_directory).tensors) {
    if (tensor.centres) forms[tensor.name] = *tensor.centres;
  }
  return forms;
}

TEST(Extreme, TheFirstKeepsWeightsAndHasMomentsOfSixteenValues) {
  TempDir dir;
  const Adam adam(1);
  save(dir.path(), adam, 10);
  EXPECT_THAT(verify(dir / "step-00000010"), IsEmpty());
  const Adam back = loaded(dir.path(), 10);
  EXPECT_EQ(back.weight, adam.weight);
  EXPECT_EQ(back.small, adam.small);
  EXPECT_EQ(back.counter, adam.counter);
  EXPECT_LE(values_in(back.mean), 16u);
  EXPECT_LE(values_in(back.square), 16u);
  EXPECT_GT(*std::ranges::min_element(back.square), 0);  // a step divides by its root
  const auto forms = stated(dir / "step-00000010");
  ASSERT_EQ(forms.size(), 2u);
  EXPECT_LE(furthest(back.mean, adam.mean), forms.at("optim/m/w").off_by);
  EXPECT_LE(furthest(back.square, adam.square), forms.at("optim/v/w").off_by);
  const double bound = 1.0 / 14;  // residuals: 4 bits of blocks (near/blocks.h), the largest of which is below 4
  EXPECT_LE(furthest(back.residual, adam.residual), 4 * bound);
}

TEST(Extreme, TheNextKeepsWhatWeightsMovedBy) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  const Adam second(2);
  save(dir.path(), second, 20);
  EXPECT_THAT(verify(dir / "step-00000020"), IsEmpty());
  const Adam base = loaded(dir.path(), 10), back = loaded(dir.path(), 20);
  std::vector<float> moved(Adam::kElems);
  for (size_t i = 0; i < moved.size(); ++i) moved[i] = back.weight[i] - base.weight[i];
  EXPECT_LT(distance(back.weight, second.weight), 0.25 * distance(base.weight, second.weight));
  size_t stayed = 0, moments = 0, alone = 0;
  for (size_t i = 0; i < moved.size(); ++i) {
    const bool weight = back.weight[i] == base.weight[i];
    stayed += weight ? 0 : 1;
    moments += back.mean[i] != 0 ? 1 : 0;
    alone += back.mean[i] != 0 && weight ? 1 : 0;
  }
  // Moves are normal: above 0.6 medians, 0.405 sigma, are 68.6 %. Moments above twice their mean magnitude, 1.596 sigma: 11.05 % of those.
  EXPECT_NEAR(static_cast<double>(stayed) / Adam::kElems, 0.686, 0.02);
  EXPECT_NEAR(static_cast<double>(moments) / Adam::kElems, 0.686 * 0.1105, 0.012);
  EXPECT_EQ(alone, 0u);
  const auto forms = stated(dir / "step-00000020");
  ASSERT_EQ(forms.size(), 3u);
  EXPECT_EQ(forms.at("model/w").kind, extreme::Kind::differences);
  EXPECT_LE(furthest(back.weight, second.weight), forms.at("model/w").off_by);
}

TEST(Extreme, AggressiveKeepsATenth) {
  TempDir dir;
  save(dir.path(), Adam(1), 10, kAggressive);
  save(dir.path(), Adam(2), 20, kAggressive);
  const Adam base = loaded(dir.path(), 10), back = loaded(dir.path(), 20);
  size_t stayed = 0;
  for (size_t i = 0; i < Adam::kElems; ++i) stayed += back.weight[i] != base.weight[i] ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(stayed) / Adam::kElems, 0.0918, 0.015);  // normal moves above 1.686 sigma
}

// What was left out is offered again: of a state that stands still, each save brings the restored one nearer.
TEST(Extreme, AChainOfEightIsBoundAndComesNearer) {
  TempDir dir;
  const Adam at(3);
  save(dir.path(), Adam(1), 10, kAggressive);
  double before = distance(loaded(dir.path(), 10).weight, at.weight);
  for (int64_t link = 1; link <= 8; ++link) {
    save(dir.path(), at, 10 + 10 * link, kAggressive);
    EXPECT_EQ(read_chain(dir / step_name(10 + 10 * link)).size(), static_cast<size_t>(link) + 1);
    const double now = distance(loaded(dir.path(), 10 + 10 * link).weight, at.weight);
    EXPECT_LT(now, before) << link;
    before = now;
  }
  save(dir.path(), at, 100, kAggressive);
  EXPECT_FALSE(read_manifest(dir / "step-00000100").base);
  EXPECT_EQ(loaded(dir.path(), 100).weight, at.weight);
  EXPECT_THAT(verify(dir / "step-00000090"), IsEmpty());
}

TEST(Extreme, RetentionKeepsTheChain) {
  TempDir dir;
  for (int64_t step = 10; step <= 40; step += 10)
    save(dir.path(), Adam(static_cast<uint64_t>(step / 10)), step, {.keep = 1, .mode = "extreme"});
  EXPECT_THAT(names_in(dir.path()), Contains("step-00000010"));
  EXPECT_THAT(verify(dir / "step-00000040"), IsEmpty());
}

TEST(Extreme, TheManifestStatesItAndTheListToo) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  save(dir.path(), Adam(2), 20);
  EXPECT_THAT(read(dir / "step-00000020/manifest.json"), AllOf(HasSubstr("\"version\": 5"), HasSubstr("\"centre_from_base\"")));
  EXPECT_EQ(list(dir.path()).back().lossy, "extreme");
  EXPECT_THAT(inspect(dir / "step-00000020"),
              AllOf(HasSubstr("model/w F32 [40, 100]: each as one of 16 distances from the base, off by"),
                    HasSubstr("optim/v/w F32 [40, 100]: each as one of 16 values, off by"), HasSubstr("needs step-00000010")));
  EXPECT_THAT(diff(dir / "step-00000010", dir / "step-00000020").text,
              HasSubstr("; the second keeps each as one of 16 distances from the base"));
  on_ranks(1, [&](comm::Driver& driver) {
    const auto restores = Store(dir.path(), driver, {}).lossy_restores_of_load(20);
    ASSERT_EQ(restores.size(), 1u);
    EXPECT_EQ(restores[0], (LossyRestore{20, read_manifest(dir / "step-00000020").hash, "extreme"}));
  });
}

TEST(Extreme, NothingElseEverChoosesIt) {
  TempDir dir;
  for (const char* mode : {"exact", "near_exact", "raw"}) {
    save(dir / mode, Adam(1), 10, {.keep = 0, .mode = mode, .pruning = "aggressive", .base = "previous"});
    save(dir / mode, Adam(2), 20, {.keep = 0, .mode = mode, .pruning = "aggressive", .base = "previous"});
    EXPECT_THAT(stated(dir / mode / "step-00000020"), IsEmpty());
    EXPECT_EQ(loaded(dir / mode, 20).weight, Adam(2).weight);
  }
}

TEST(Extreme, ExactGoesOnFromIt) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  save(dir.path(), Adam(2), 20);
  const Adam third(3);
  save(dir.path(), third, 30, {.keep = 0, .base = "previous"});
  EXPECT_EQ(loaded(dir.path(), 30).weight, third.weight);
  EXPECT_EQ(loaded(dir.path(), 30).square, third.square);
}

TEST(Extreme, WhatIsNotFiniteIsKeptBitForBit) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  Adam second(2);
  second.weight[5] = std::numeric_limits<float>::quiet_NaN();
  save(dir.path(), second, 20);
  const Adam back = loaded(dir.path(), 20);
  EXPECT_EQ(std::memcmp(back.weight.data(), second.weight.data(), Adam::kElems * 4), 0);
  save(dir.path(), Adam(3), 30);  // its base is not finite: the whole family stays exact
  EXPECT_EQ(loaded(dir.path(), 30).weight, Adam(3).weight);
  EXPECT_EQ(loaded(dir.path(), 30).mean, Adam(3).mean);
}

TEST(Extreme, ConvertsInAndOut) {
  TempDir dir;
  save(dir / "exact", Adam(1), 10, {.keep = 0});
  save(dir / "exact", Adam(2), 20, {.keep = 0});
  const auto how = [&](const char* to, const char* mode) {
    return Rewrite{dir / to,
                   {.mode = mode},
                   "9.9.9",
                   [](std::string_view name) {
                     if (name == "model/w") return Tolerance::weight;
                     if (name == "optim/m/w") return Tolerance::moment;
                     return name == "optim/v/w" ? Tolerance::second_moment : Tolerance::none;
                   },
                   [](std::string_view name) -> std::string {
                     return name == "optim/m/w" ? "model/w" : name == "optim/v/w" ? "optim/m/w" : "";
                   }};
  };
  convert(dir / "exact/step-00000010", how("in", "extreme"));
  const fs::path made = convert(dir / "exact/step-00000020", how("in", "extreme"));
  EXPECT_THAT(verify(made), IsEmpty());
  ASSERT_TRUE(read_manifest(made).base);
  EXPECT_EQ(stated(made).size(), 3u);
  const fs::path back = convert(made, how("out", "exact"));
  EXPECT_FALSE(read_manifest(back).base);
  EXPECT_TRUE(diff(made, back).are_equal);
  EXPECT_EQ(read_manifest(back).facts.lossy_restores, (std::vector<LossyRestore>{{20, read_manifest(made).hash, "extreme"}}));
}

// A state that the mode happens to hold exactly, worked out by hand: weights move by 0 or 4 to 7 1024ths either way, more than 0.6 times
// any median of these; every eighth element that moved has a first moment of 1 or -2, above twice their mean, and a second one of 4 or 9;
// elsewhere these are 0 and 3. All are numbers of bf16.
struct Golden {
  static constexpr int kElems = 16 * 24;
  std::vector<float> weight, mean, square;
  explicit Golden(int step) : weight(kElems), mean(kElems), square(kElems, 3) {
    for (int i = 0; i < kElems; ++i) {
      const int moved = i % 4 == 0 ? 0 : (i % 3 == 0 ? -1 : 1) * (4 + i * i % 4);
      weight[i] = static_cast<float>(i % 7) / 8 + static_cast<float>(step == 20 ? moved : 0) / 1024;
      if (i % 8 != 1) continue;
      mean[i] = i % 5 == 0 ? -2 : 1;
      square[i] = i % 5 == 0 ? 9 : 4;
    }
  }
  State state() {
    const auto add = [](const char* name, std::vector<float>& values, Tolerance tolerance, const char* guide) {
      return StateTensor{name, DType::f32, {16, 24}, std::as_writable_bytes(std::span(values)), Scope::replicated, {}, tolerance, guide};
    };
    return {{add("model/w", weight, Tolerance::weight, ""), add("optim/exp_avg/w", mean, Tolerance::moment, "model/w"),
             add("optim/exp_avg_sq/w", square, Tolerance::second_moment, "optim/exp_avg/w")},
            {{"step", 1}}};
  }
  bool operator==(const Golden&) const = default;
};

// Version 4, one rank: step 20 is coded against step 10. The indices must stay what the model of docs/formats/checkpoint.md makes of them.
TEST(Golden, ExtremeCheckpointsOfVersion4AreVerifiedAndLoaded) {
  const fs::path golden = fs::path(THINWIRE_SOURCE_DIR) / "tests/golden/checkpoint/version4";
  for (const int step : {10, 20}) {
    EXPECT_THAT(verify(golden / step_name(step)), IsEmpty());
    EXPECT_EQ(stated(golden / step_name(step)).size(), step == 10 ? 2u : 3u);
    Golden found(0);
    found.mean.assign(Golden::kElems, 77);
    on_ranks(1, [&](comm::Driver& driver) {
      State state = found.state();
      Store(golden, driver, {}).load(step, state);
    });
    EXPECT_EQ(found, Golden(step)) << step;
  }
}

// The same bytes for any number of threads.
TEST(Extreme, ThreadsDoNotMatter) {
  TempDir dir;
  for (const int64_t threads : {1, 3}) {
    CheckpointOptions options = kMild;
    options.threads = threads;
    const fs::path to = dir / std::to_string(threads);
    save(to, Adam(1), 10, options);
    save(to, Adam(2), 20, options);
  }
  EXPECT_EQ(read(dir / "1/step-00000020/model.safetensors"), read(dir / "3/step-00000020/model.safetensors"));
}

// Puts the hashes of the manifest and of COMPLETE right again.
void seal_again(const fs::path& step_directory, const std::string& file, const std::string& before) {
  std::string manifest = read(step_directory / "manifest.json");
  const std::string old_hash = to_hex(hash64(before)), new_hash = to_hex(hash64(read(step_directory / file)));
  manifest.replace(manifest.find(old_hash), old_hash.size(), new_hash);
  write(step_directory / "manifest.json", manifest);
  write(step_directory / "COMPLETE", to_hex(hash64(manifest)) + "\n");
}

TEST(Extreme, AnUnstatedLossIsADefect) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  std::string text = read(dir / "step-00000010/manifest.json");
  text.replace(text.find("\"tolerance\""), 11, "\"forgotten\"");
  write(dir / "step-00000010/manifest.json", text);
  write(dir / "step-00000010/COMPLETE", to_hex(hash64(text)) + "\n");
  EXPECT_THAT(verify(dir / "step-00000010"), Contains(HasSubstr("kept with a loss that the manifest does not state")));
}

TEST(Extreme, EveryFlippedBitIsNoticed) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  save(dir.path(), Adam(2), 20);
  for (const char* step : {"step-00000010", "step-00000020"}) {
    const fs::path path = dir / step / "model.safetensors";
    const std::string before = read(path), manifest = read(dir / step / "manifest.json"), complete = read(dir / step / "COMPLETE");
    const size_t payload = 8 + load_le<uint64_t>(reinterpret_cast<const std::byte*>(before.data()));
    for (size_t at = 0; at < before.size(); at += before.size() / 25) {
      flip_bit(path, at);
      EXPECT_THAT(error_of([&] { loaded(dir.path(), 20); }), HasSubstr("model.safetensors")) << at;
      if (at >= payload) {  // the hashes of table and chunks tell as well
        seal_again(dir / step, "model.safetensors", before);
        EXPECT_THAT(verify(dir / step), Not(IsEmpty())) << at;
      }
      write(path, before);
      write(dir / step / "manifest.json", manifest);
      write(dir / step / "COMPLETE", complete);
    }
  }
  EXPECT_THAT(verify(dir / "step-00000020"), IsEmpty());
}

TEST(Extreme, GuidesThatGoInCirclesAreRefused) {
  TempDir dir;
  save(dir.path(), Adam(1), 10);
  const fs::path path = dir / "step-00000010/model.safetensors";
  const std::string before = read(path);
  for (const char* guide : {"optim/v/w", "counter__", "optim/x/w"}) {
    std::string file = before;
    file.replace(file.find("optim/m/w", file.find("guide")), 9, guide);
    write(path, file);
    const std::string manifest = read(dir / "step-00000010/manifest.json");
    seal_again(dir / "step-00000010", "model.safetensors", before);
    EXPECT_THAT(verify(dir / "step-00000010"), Contains(HasSubstr("guide"))) << guide;
    write(dir / "step-00000010/manifest.json", manifest);
    write(path, before);
  }
}

TEST(Extreme, ForeignTablesAreRefused) {
  const std::vector<float> values(300, 1);
  const std::vector<uint8_t> indices(300, 1);
  extreme::Centres centres{};
  centres[1] = 0x3f80;
  const auto chunk = extreme::encode_chunk(extreme::Kind::values, centres, indices, {}, values, {});
  const auto coding = extreme::joined(extreme::Kind::values, false, 300, {chunk});
  const auto refusal = [&](size_t at, auto value, uint64_t elems = 300, int64_t longer = 0) -> std::string {
    auto bytes = coding;
    store_le(bytes.data() + at, value);
    bytes.resize(static_cast<size_t>(static_cast<int64_t>(bytes.size()) + longer));
    if (bytes.size() >= 48) store_le(bytes.data() + 40, hash64(ConstBytes(bytes).first(40)));
    try {
      extreme::parse_table(bytes, bytes.size(), elems, "a file");
    } catch (const CorruptData& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(refusal(0, 'T'), "");
  EXPECT_THAT(refusal(0, 'X'), HasSubstr("TWX1"));
  for (const size_t at : {4, 5, 6, 7}) EXPECT_THAT(refusal(at, uint8_t{9}), HasSubstr("unknown version or kind"));
  EXPECT_THAT(refusal(8, uint64_t{301}), HasSubstr("other elements"));
  EXPECT_THAT(refusal(8, uint64_t{1} << 60, uint64_t{1} << 60), HasSubstr("too short for the chunks"));
  for (const float off_by : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    EXPECT_THAT(refusal(16, off_by), HasSubstr("no distance"));
  EXPECT_THAT(refusal(20, uint32_t{7}), HasSubstr("do not fill"));
  EXPECT_THAT(refusal(0, 'T', 300, 1), HasSubstr("do not fill"));
  EXPECT_NE(refusal(0, 'T', 300, -static_cast<int64_t>(coding.size()) + 10), "");
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

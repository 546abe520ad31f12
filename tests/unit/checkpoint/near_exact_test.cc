// checkpoint.mode near_exact: what comes back, what the manifest says of it, and what later checkpoints do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/draw.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/manifest.h"
#include "checkpoint/near/tensor.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A model with AdamW's moments, of one chunk and a bit, and a residual.
struct Adam {
  static constexpr size_t kElems = (size_t{1} << 18) + 5000;
  std::vector<float> weight, mean, square, residual, small;
  explicit Adam(uint64_t seed) : weight(kElems), mean(kElems), square(kElems), residual(3000), small(3, 1.5f) {
    const Draw draw(seed);
    for (size_t i = 0; i < kElems; ++i) {
      weight[i] = 0.04f * static_cast<float>(draw.normal(i));
      mean[i] = 1e-4f * static_cast<float>(draw.normal(1'000'000 + i));
      square[i] = 1e-7f * static_cast<float>(std::pow(draw.normal(2'000'000 + i), 2));
    }
    for (size_t i = 0; i < residual.size(); ++i) residual[i] = static_cast<float>(draw.normal(3'000'000 + i));
    square[7] = 0;
  }
  State state() {
    const auto add = [](const char* name, std::vector<float>& values, Scope scope, Tolerance tolerance) -> StateTensor {
      return {name, DType::f32, {static_cast<int64_t>(values.size())}, std::as_writable_bytes(std::span(values)), scope, {}, tolerance};
    };
    return {{add("model/w", weight, Scope::replicated, Tolerance::none), add("optim/m/w", mean, Scope::replicated, Tolerance::moment),
             add("optim/v/w", square, Scope::replicated, Tolerance::second_moment),
             add("residual/w", residual, Scope::per_rank, Tolerance::residual),
             add("optim/m/small", small, Scope::replicated, Tolerance::moment)},
            {{"step", 10}}};
  }
};

void save(const fs::path& directory, Adam& adam, const CheckpointOptions& options, int64_t step = 10, RunFacts facts = some_facts()) {
  on_ranks(1, [&](comm::Driver& driver) { Store(directory, driver, options).save(step, adam.state(), facts); });
}

Adam loaded(const fs::path& directory, int64_t step = 10) {
  Adam adam(99);
  on_ranks(1, [&](comm::Driver& driver) {
    State state = adam.state();
    Store(directory, driver, {.threads = 2}).load(step, state);
  });
  return adam;
}

// Largest error over the largest of its block: what the tolerance bounds.
double off_by(const std::vector<float>& found, const std::vector<float>& saved, bool roots) {
  double worst = 0;
  for (size_t begin = 0; begin < saved.size(); begin += near::kBlock) {
    double largest = 0, error = 0;
    for (size_t i = begin; i < std::min(saved.size(), begin + near::kBlock); ++i) {
      const double a = roots ? std::sqrt(double(found[i])) : found[i], b = roots ? std::sqrt(double(saved[i])) : saved[i];
      largest = std::max(largest, std::abs(b));
      error = std::max(error, std::abs(a - b));
    }
    if (largest > 0) worst = std::max(worst, error / largest);
  }
  return worst;
}

TEST(NearExact, WeightsComeBackWholeAndTheRestWithinItsTolerance) {
  for (const char* moments : {"8", "4"}) {
    TempDir dir;
    Adam adam(1);
    save(dir.path(), adam, {.mode = "near_exact", .moments = moments});
    EXPECT_THAT(verify(dir / "step-00000010"), IsEmpty());
    const Adam back = loaded(dir.path());
    const bool wide = std::string(moments) == "8";
    EXPECT_EQ(back.weight, adam.weight);
    EXPECT_EQ(back.small, adam.small);  // too short to gain by it: kept as it is
    const double m = off_by(back.mean, adam.mean, false), v = off_by(back.square, adam.square, true),
                 e = off_by(back.residual, adam.residual, false);
    EXPECT_LE(m, (wide ? 1.0 / 254 : 1.0 / 14) * 1.000001);
    EXPECT_LE(v, (wide ? 1.0 / 255 : 1.0 / 15) * 1.000001);
    EXPECT_LE(e, 1.0 / 254 * 1.000001);
    EXPECT_GT(m, wide ? 0.003 : 0.06);  // and no better than it says
    for (size_t i = 0; i < Adam::kElems; ++i) ASSERT_GE(back.square[i], adam.square[i]);
    EXPECT_EQ(back.square[7], 0);
    const uint64_t bytes = fs::file_size(dir / "step-00000010/model.safetensors");
    EXPECT_LT(bytes, Adam::kElems * (wide ? 5.6 : 4.6));  // of 12 bytes; weights of random mantissas take 3.6 of 4
  }
}

TEST(NearExact, TheManifestStatesEachTolerance) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {.mode = "near_exact", .moments = "4"});
  const std::string text = read(dir / "step-00000010/manifest.json");
  EXPECT_THAT(text, HasSubstr("\"version\": 3"));
  std::map<std::string, near::Form> forms;
  const Manifest manifest = parse_manifest(text, "m");
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (tensor.form) forms[tensor.name] = *tensor.form;
  }
  using Of = near::Form::Of;
  EXPECT_EQ(forms, (std::map<std::string, near::Form>{
                       {"optim/m/w", {Of::values, 4}}, {"optim/v/w", {Of::roots, 4}}, {"residual/w", {Of::values, 8}}}));
  EXPECT_TRUE(manifest.is_lossy());
  EXPECT_EQ(list(dir.path()).front().lossy, "near_exact");
  EXPECT_THAT(inspect(dir / "step-00000010"),
              AllOf(HasSubstr("optim/m/w F32 [267144]: values within 1/14 of the largest of their block of 256"),
                    HasSubstr("optim/v/w F32 [267144]: square roots, rounded up, within 1/15"),
                    HasSubstr("residual/w F32 [3000]: values within 1/254")));
}

TEST(NearExact, ExactCheckpointsStayOfVersionTwo) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {});
  EXPECT_THAT(read(dir / "step-00000010/manifest.json"),
              AllOf(HasSubstr("\"version\": 2"), Not(HasSubstr("tolerance")), Not(HasSubstr("lossy"))));
}

TEST(NearExact, WhatIsNotFiniteIsKeptBitForBit) {
  TempDir dir;
  Adam adam(1);
  adam.mean[100] = std::numeric_limits<float>::quiet_NaN();
  adam.square[300'00] = -1;
  save(dir.path(), adam, {.mode = "near_exact"});
  const Adam back = loaded(dir.path());
  EXPECT_EQ(std::memcmp(back.mean.data(), adam.mean.data(), Adam::kElems * 4), 0);
  EXPECT_EQ(back.square, adam.square);
  EXPECT_NE(back.residual, adam.residual);
}

TEST(NearExact, ALoadIsRecordedInLaterCheckpoints) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {.mode = "near_exact"});
  std::vector<LossyRestore> after_load;
  on_ranks(1, [&](comm::Driver& driver) { after_load = Store(dir.path(), driver, {}).lossy_restores_of_load(10); });
  ASSERT_EQ(after_load.size(), 1u);
  EXPECT_EQ(after_load[0], (LossyRestore{10, read_manifest(dir / "step-00000010").hash, "near_exact"}));
  RunFacts facts = some_facts();
  facts.lossy_restores = after_load;
  save(dir.path(), adam, {}, 20, facts);  // exact, with a past
  const Manifest second = read_manifest(dir / "step-00000020");
  EXPECT_EQ(second.facts.lossy_restores, after_load);
  EXPECT_FALSE(second.is_lossy());
  EXPECT_THAT(inspect(dir / "step-00000020"), HasSubstr("its state went through step-00000010 (near_exact)"));
  on_ranks(1, [&](comm::Driver& driver) { EXPECT_EQ(Store(dir.path(), driver, {}).lossy_restores_of_load(20), after_load); });
}

TEST(NearExact, DiffTellsTheToleranceBesideTheDistance) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {}, 10);
  save(dir.path(), adam, {.mode = "near_exact"}, 20);
  const Difference difference = diff(dir / "step-00000010", dir / "step-00000020");
  EXPECT_FALSE(difference.are_equal);
  EXPECT_THAT(difference.text, AllOf(HasSubstr("'optim/m/w'"), HasSubstr("; the second keeps values within 1/254 of the largest"),
                                     HasSubstr("2 tensors are equal, 3 differ, 0 are in one only")));
}

// Weights may be coded against an earlier checkpoint; and an exact one against a near-exact one, whose numbers are the same on every
// machine.
TEST(NearExact, GoesTogetherWithABase) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {.keep = 0, .mode = "near_exact", .base = "previous"}, 10);
  const uint64_t alone = fs::file_size(dir / "step-00000010/model.safetensors");
  for (float& w : adam.weight) w += 1e-7f;
  save(dir.path(), adam, {.keep = 0, .mode = "near_exact", .base = "previous"}, 20);
  EXPECT_LT(fs::file_size(dir / "step-00000020/model.safetensors"), alone * 3 / 4);
  EXPECT_TRUE(read_manifest(dir / "step-00000020").base);
  EXPECT_EQ(loaded(dir.path(), 20).weight, adam.weight);
  save(dir.path(), adam, {.keep = 0, .base = "previous"}, 30);
  const Adam back = loaded(dir.path(), 30);
  EXPECT_EQ(back.mean, adam.mean);
  EXPECT_EQ(back.square, adam.square);
}

TEST(NearExact, AnUnstatedLossIsADefect) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {.mode = "near_exact"});
  std::string text = read(dir / "step-00000010/manifest.json");
  const size_t at = text.find("\"tolerance\"");
  text.replace(at, 11, "\"forgotten\"");
  write(dir / "step-00000010/manifest.json", text);
  write(dir / "step-00000010/COMPLETE", to_hex(hash64(text)) + "\n");
  EXPECT_THAT(verify(dir / "step-00000010"), Contains(HasSubstr("kept with a loss that the manifest does not state")));
}

TEST(NearExact, EveryFlippedBitIsNoticed) {
  TempDir dir;
  Adam adam(1);
  save(dir.path(), adam, {.mode = "near_exact"});
  const fs::path path = dir / "step-00000010/rank-00000.safetensors";
  const std::string before = read(path);
  for (size_t at = 0; at < before.size(); at += before.size() / 50) {
    flip_bit(path, at);
    EXPECT_THAT(error_of([&] { loaded(dir.path()); }), HasSubstr("rank-00000.safetensors")) << at;
    write(path, before);
  }
}

// A coding of 300 numbers, and what a reader says of others.
std::vector<std::byte> coding() {
  std::vector<float> numbers(300);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(Draw(3).normal(i));
  const near::Form form{near::Form::Of::values, 8};
  const auto blocks = near::quantize(form, numbers);
  const auto parts = exact::encode(
      {{DType::u8, 0, std::as_bytes(std::span(blocks->levels))}, {DType::f32, 0, std::as_bytes(std::span(blocks->scales))}}, 1);
  return near::joined(form, numbers.size(), parts[0], parts[1]);
}

std::string refusal(std::vector<std::byte> bytes, uint64_t elems = 300, bool mended = true) {
  if (mended && bytes.size() >= near::kHeaderBytes) store_le(bytes.data() + 24, hash64(ConstBytes(bytes).first(24)));
  try {
    const ConstBytes all = bytes;
    const auto header = near::parse_header(all.first(std::min(all.size(), near::kHeaderBytes)), bytes.size(), elems, "a file");
    near::parse_levels(header, all.subspan(header.levels_begin(), exact::table_bytes(elems)), "a file");
    near::parse_scales(header, all.subspan(header.scales_begin(), exact::table_bytes(near::num_blocks(elems))), "a file");
  } catch (const CorruptData& e) {
    return e.what();
  }
  return "";
}

TEST(NearExact, ForeignHeadersAreRefused) {
  EXPECT_EQ(refusal(coding()), "");
  const auto with = [](size_t at, auto value) {
    auto bytes = coding();
    store_le(bytes.data() + at, value);
    return bytes;
  };
  EXPECT_THAT(refusal(with(0, 'X')), HasSubstr("TWN1"));
  EXPECT_THAT(refusal(with(4, uint8_t{2})), HasSubstr("unknown version or form"));
  EXPECT_THAT(refusal(with(5, uint8_t{2})), HasSubstr("unknown version or form"));
  EXPECT_THAT(refusal(with(6, uint8_t{5})), HasSubstr("unknown version or form"));
  EXPECT_THAT(refusal(with(7, uint8_t{1})), HasSubstr("unknown version or form"));
  EXPECT_THAT(refusal(with(8, uint64_t{301})), HasSubstr("other elements than are expected"));
  EXPECT_THAT(refusal(coding(), uint64_t{1} << 60), HasSubstr("other elements"));
  EXPECT_THAT(refusal(with(16, UINT64_MAX)), HasSubstr("do not fit"));
  EXPECT_THAT(refusal(with(16, uint64_t{3})), HasSubstr("too short"));
  EXPECT_THAT(refusal(with(16, coding().size() - 40)), HasSubstr("too short"));
  EXPECT_THAT(refusal(with(9, uint8_t{9}), 300, false), HasSubstr("damaged"));
  for (const size_t length : {0, 3, 20, 31}) {
    auto bytes = coding();
    bytes.resize(length);
    EXPECT_NE(refusal(bytes), "") << length;
  }
  auto longer = coding();
  longer.push_back(std::byte{0});
  EXPECT_THAT(refusal(longer), HasSubstr("fill"));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

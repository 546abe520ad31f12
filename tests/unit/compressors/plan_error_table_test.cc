// Errors as a plan sees them, against the residuals of whole layers and against numbers worked out by hand.
#include "compressors/plan/error_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compressors/sketch.h"
#include "config/load.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

CandidateSet topk_set(const std::string& density, const std::string& chunk = "4096") {
  CodecChoice choice;
  config::Section section;
  describe(section, choice);
  config::load(section, {}, {"codec=topk", "topk.density=" + density, "topk.chunk=" + chunk});
  return make_candidates(choice, {});
}

ErrorTable measured(const CandidateSet& set, Layer layer, const std::vector<float>& a, int64_t sample_elems) {
  ErrorTable table(1, set.candidates.size());
  measure_layer(set, layer, a, sample_elems, Draw(7), table, 0);
  return table;
}

TEST(PlanErrors, AreWhatIsDropped) {
  // Two chunks of two, one of each kept, exactly: 2 and 3 are dropped of (4, 2, 3, -8), 4 + 9 = 13 of 16 + 4 + 9 + 64 = 93.
  const CandidateSet set = topk_set("50%", "2");
  const ErrorTable table = measured(set, layer_of(4), {4, 2, 3, -8}, 0);
  EXPECT_EQ(table.squared_norm(0), 93);
  EXPECT_EQ(table.errors(0)[0], 0);
  EXPECT_EQ(table.errors(0)[set.uniform], 13);
  EXPECT_EQ(table.errors(0).back(), 0);  // 100 %
}

TEST(PlanErrors, OfAllCandidatesAreTheirResiduals) {
  const CandidateSet set = topk_set("5%");
  const std::vector<float> a = normal_values(3 * 4096 + 77, 1);
  const ErrorTable table = measured(set, layer_of(a.size()), a, 0);
  for (size_t c = 1; c < set.candidates.size(); c += 9) {
    const auto& codec = dynamic_cast<const Codec&>(*set.candidates[c].compressor);
    const auto encoded = encode(codec, layer_of(a.size()), a, std::vector<float>(a.size(), 0.0f));
    EXPECT_NEAR(table.errors(0)[c], square_sum(encoded.residual), 0x1p-21 * table.squared_norm(0));  // the curve leaves out fp16
  }
}

// Blocks whose scales differ, all normal: what is large against the norm is known within 2 %, what is small within 0.1 % of the norm.
TEST(PlanErrors, OfASampleAreNearThoseOfTheWhole) {
  const CandidateSet set = topk_set("30%");
  const Draw draw(3);
  std::vector<float> a = normal_values(60 * 4096, 2);
  for (size_t i = 0; i < a.size(); ++i) a[i] *= static_cast<float>(std::exp(0.5 * draw.normal(i / 4096)));
  const ErrorTable whole = measured(set, layer_of(a.size()), a, 0), sample = measured(set, layer_of(a.size()), a, 32768);
  EXPECT_EQ(sample.squared_norm(0), whole.squared_norm(0));
  for (size_t c = 1; c < set.candidates.size(); ++c) {
    EXPECT_NEAR(sample.errors(0)[c], whole.errors(0)[c], 0.02 * whole.errors(0)[c] + 0.001 * whole.squared_norm(0))
        << set.candidates[c].text;
  }
}

TEST(PlanErrors, ASampleTakesOneBlockOfEachStratum) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<size_t> begins = sample_blocks(100 * 64 + 5, 64, 10 * 64, Draw(seed));
    ASSERT_EQ(begins.size(), 10u);
    for (size_t stratum = 0; stratum < 10; ++stratum) {
      EXPECT_EQ(begins[stratum] % 64, 0u);
      EXPECT_EQ(begins[stratum] / 640, stratum);
    }
  }
  EXPECT_EQ(sample_blocks(3 * 64 + 5, 64, 1000, Draw(1)), (std::vector<size_t>{0, 64, 128, 192}));
  EXPECT_EQ(sample_blocks(10 * 64, 64, 1, Draw(1)).size(), 1u);
}

TEST(PlanErrors, WhatIsNotFiniteIsForbidden) {
  const CandidateSet set = topk_set("5%");
  std::vector<float> a = normal_values(5000, 1);
  a[17] = std::numeric_limits<float>::quiet_NaN();
  const ErrorTable table = measured(set, layer_of(a.size()), a, 0);
  EXPECT_EQ(table.errors(0)[0], 0);
  EXPECT_EQ(table.squared_norm(0), std::numeric_limits<double>::infinity());
  for (const double error : table.errors(0).subspan(1)) EXPECT_EQ(error, std::numeric_limits<double>::infinity());
}

TEST(PlanErrors, OfNothingAndOfZeros) {
  const CandidateSet set = topk_set("5%");
  for (const size_t elems : {size_t{0}, size_t{10}, size_t{100'000}}) {
    const ErrorTable table = measured(set, layer_of(elems), std::vector<float>(elems, 0.0f), 8192);
    for (const double error : table.errors(0)) EXPECT_EQ(error, 0);
  }
}

// A sketch whose memory warms: the first pass learns the sign to send, so that only the second decodes to a.
class WarmingSketch final : public Sketch {
 public:
  uint16_t id() const override { return 65000; }
  std::string_view name() const override { return "warming"; }
  Traits traits(Layer layer) const override {
    Traits traits;
    traits.combine = Combine::sketch;
    traits.worst_bytes = 4 * static_cast<size_t>(layer.elems());
    return traits;
  }
  std::vector<size_t> round_elems(Layer layer) const override { return {static_cast<size_t>(layer.elems())}; }
  size_t memory_elems(Layer) const override { return 1; }
  void start(Layer, const Draw&, std::span<float> memory) const override { memory[0] = 0; }
  void produce(Layer, int, const float* a, std::span<const float> memory, Context&, std::span<float> part) const override {
    for (size_t i = 0; i < part.size(); ++i) part[i] = memory[0] * a[i];
  }
  void absorb(Layer, int, std::span<const float>, std::span<float> memory, Context&) const override { memory[0] = 1; }
  void decode_add(Layer, std::span<const float> last, std::span<const float>, float weight, float* out, Context&) const override {
    for (size_t i = 0; i < last.size(); ++i) out[i] += weight * last[i];
  }
};

TEST(PlanErrors, SketchesAreMeasuredWarm) {
  CandidateSet set = topk_set("5%");
  set.candidates.resize(1);
  set.families.resize(1);
  set.candidates.push_back({"warming", std::make_shared<WarmingSketch>()});
  set.families.push_back({"warming", "", 1, {}, set.families[0].maker});
  const std::vector<float> a = normal_values(50'000, 1);
  EXPECT_EQ(measured(set, layer_of(a.size()), a, 4096).errors(0)[1], 0);
}

// A maker that knows its errors at once is asked instead.
class CurveMaker final : public CodecMaker {
 public:
  void describe_options(config::Section&) override {}
  bool has_options() const override { return false; }
  std::unique_ptr<Compressor> make() const override { return nullptr; }
  std::optional<std::vector<double>> squared_errors(Layer, std::span<const float>, std::span<const double> values) const override {
    std::vector<double> errors;
    for (const double value : values) errors.push_back(100 * value);
    return errors;
  }
};

TEST(PlanErrors, ComeFromTheCurveOfAFamilyThatHasOne) {
  CandidateSet set = topk_set("5%");
  set.families[1].maker = std::make_shared<CurveMaker>();
  const ErrorTable table = measured(set, layer_of(100), normal_values(100, 1), 0);
  EXPECT_DOUBLE_EQ(table.errors(0)[set.uniform], 5);
}

}  // namespace
}  // namespace thinwire::compressors

// The kernels against the plain C++, bit for bit, on every target that this machine runs.
#include "compressors/topk/kernels.h"

#include <gtest/gtest.h>

#include <hwy/targets.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "compressors/topk/reference.h"
#include "compressors/topk/topk.h"
#include "compressors/values/half_kernels.h"
#include "compressors/values/scaled_half.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

std::vector<int64_t> targets() {
  std::vector<int64_t> found;
  for (int64_t all = hwy::SupportedTargets() | HWY_STATIC_TARGET; all != 0; all &= all - 1) found.push_back(all & -all);
  return found;
}

class TopkKernels : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};
INSTANTIATE_TEST_SUITE_P(Targets, TopkKernels, ::testing::ValuesIn(targets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

template <class Index>
void expect_the_reference_choice(const std::vector<float>& values, size_t count) {
  std::vector<uint32_t> magnitudes(values.size()), scratch(values.size() + topk_kernels::kSlackElems);
  std::vector<Index> expected(count), indices(count);
  select_largest(values, magnitudes, expected);
  topk_kernels::select_largest(values, count, scratch.data(), indices.data());
  EXPECT_EQ(indices, expected) << count << " of " << values.size();
}

TEST_P(TopkKernels, ChooseLikeTheReferenceOnInputsThatHurt) {
  for (const size_t elems : awkward_sizes()) {
    if (elems == 0) continue;
    for (const Input& input : hurtful_inputs(elems)) {
      SCOPED_TRACE(input.name);
      for (const size_t count :
           {size_t{1}, (elems + 99) / 100, (elems + 15) / 16, (elems + 1) / 2, std::max<size_t>(elems - 1, 1), elems}) {
        expect_the_reference_choice<uint32_t>(input.values, count);
      }
      expect_the_reference_choice<uint16_t>(input.values, (elems + 9) / 10);
      if (HasFailure()) return;
    }
  }
}

TEST_P(TopkKernels, ChooseLikeTheReferenceAmongManyTies) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Draw draw(seed);
    const size_t elems = 1 + draw.below(0, 5000), count = 1 + draw.below(1, elems);
    const uint64_t levels = 1 + draw.below(2, 40);
    std::vector<float> values(elems);
    for (size_t i = 0; i < elems; ++i) {
      values[i] = static_cast<float>(draw.below(3 + i, levels)) * (draw.bits(10000 + i) % 2 == 0 ? -0.25f : 0.25f);
    }
    expect_the_reference_choice<uint32_t>(values, count);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST_P(TopkKernels, ChooseAmongAsManyAs16BitsCanName) {
  const std::vector<float> values = normal_values(65536, 3);
  expect_the_reference_choice<uint16_t>(values, 700);
  expect_the_reference_choice<uint16_t>(std::vector<float>(65536, -1.0f), 65536);
}

// A cut goes through blocks as through the whole.
TEST_P(TopkKernels, UseUpTiesAcrossBlocks) {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 3);
  topk_kernels::Cut cut{std::bit_cast<uint32_t>(1.0f), 100};  // all the 333 twos, and the first 100 ones: those below element 300
  std::vector<uint32_t> indices(433);
  size_t kept = 0;
  for (size_t begin = 0; begin < values.size(); begin += 77) {
    const auto block = std::span(values).subspan(begin, std::min<size_t>(77, values.size() - begin));
    kept += topk_kernels::keep(block, static_cast<uint32_t>(begin), cut, indices.data() + kept);
  }
  ASSERT_EQ(kept, indices.size());
  EXPECT_EQ(cut.ties, 0u);
  size_t next = 0;
  for (uint32_t i = 0; i < 1000; ++i) {
    if (i % 3 == 2 || (i % 3 == 1 && i < 300)) {
      EXPECT_EQ(indices[next++], i);
    }
  }
}

TEST_P(TopkKernels, PickTheMagnitudesOfARange) {
  for (const size_t elems : {0, 1, 63, 64, 65, 1000}) {
    const std::vector<float> values = normal_values(elems, 1);
    const uint32_t least = std::bit_cast<uint32_t>(0.5f), most = std::bit_cast<uint32_t>(1.5f);
    std::vector<uint32_t> expected, picked(elems);
    for (const float value : values) {
      if (std::fabs(value) >= 0.5f && std::fabs(value) <= 1.5f) expected.push_back(std::bit_cast<uint32_t>(std::fabs(value)));
    }
    picked.resize(topk_kernels::magnitudes_between(values, least, most, picked.data()));
    EXPECT_EQ(picked, expected);
  }
}

TEST_P(TopkKernels, FindTheLargestMagnitude) {
  for (const size_t elems : {1, 15, 16, 17, 100}) {
    for (size_t at = 0; at < elems; ++at) {
      std::vector<float> values(elems, 1.0f);
      values[at] = -3.0f;
      EXPECT_EQ(topk_kernels::largest_of(values), 3.0f);
    }
  }
  EXPECT_EQ(topk_kernels::largest_of({}), 0.0f);
}

// Every binade, with the largest value of a block somewhere above.
TEST_P(TopkKernels, RoundHalvesLikeScaledHalf) {
  const Draw draw(1);
  for (uint32_t trial = 0; trial < 3000; ++trial) {
    const uint32_t largest = static_cast<uint32_t>(draw.below(100 * trial, 0x7f800000));
    std::vector<float> values(1 + trial % 37);
    for (uint32_t i = 0; i < values.size(); ++i) {
      const uint64_t bits = draw.bits(100 * trial + i + 1);
      const uint32_t below = (largest - static_cast<uint32_t>(bits % (bits >> 62 == 0 ? uint64_t{largest} + 1 : largest / 8 + 1)));
      values[i] = std::bit_cast<float>(below | static_cast<uint32_t>(bits >> 33 << 31));
      if (bits >> 60 == 1) values[i] = std::bit_cast<float>(below & 0x7ffff000);  // midway between halves, or on one
    }
    values[0] = std::bit_cast<float>(largest);
    const int exponent = ScaledHalf::exponent_for(values[0]);
    const ScaledHalf scale(exponent);

    std::vector<float> errors = values;
    Payload out(1 + 2 * values.size());
    half_kernels::encode(errors, exponent, out.data() + 1);  // at an odd address
    std::vector<float> decoded(values.size());
    half_kernels::decode(out.data() + 1, exponent, decoded);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = scale.encode(values[i]);
      ASSERT_EQ(load_le<uint16_t>(out.data() + 1 + 2 * i), half) << values[i] << " beside " << values[0];
      ASSERT_EQ(std::bit_cast<uint32_t>(decoded[i]), std::bit_cast<uint32_t>(scale.decode(half))) << half << ", exponent " << exponent;
      ASSERT_EQ(std::bit_cast<uint32_t>(errors[i]), std::bit_cast<uint32_t>(values[i] - scale.decode(half)));
    }
  }
}

TEST_P(TopkKernels, DecodeEveryHalfLikeScaledHalf) {
  Payload halves(2 * 2 * (size_t{ScaledHalf::kMostMagnitude} + 1));
  for (uint32_t half = 0; half <= ScaledHalf::kMostMagnitude; ++half) {
    store_le(halves.data() + 4 * half, static_cast<uint16_t>(half));
    store_le(halves.data() + 4 * half + 2, static_cast<uint16_t>(half | 0x8000));
  }
  std::vector<float> values(halves.size() / 2);
  for (const int exponent : {-128, -127, -126, -110, -14, 0, 1, 112, 113}) {
    half_kernels::decode(halves.data(), exponent, values);
    const ScaledHalf scale(exponent);
    for (size_t i = 0; i < values.size(); ++i) {
      const float expected = scale.decode(load_le<uint16_t>(halves.data() + 2 * i));
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected));
    }
  }
}

// The same bytes and the same residual from every target.
TEST_P(TopkKernels, GiveThePayloadOfEveryOtherTarget) {
  const std::vector<float> x = normal_values(3 * 4096 + 5, 1), before = normal_values(x.size(), 2);
  for (const TopkOptions& options : {TopkOptions{}, TopkOptions{.density = 0.01, .scope = "global", .index_coding = "rice"}}) {
    const TopkCodec codec(options);
    const Encoded here = encode(codec, layer_of(x.size()), x, before, 0.3f, 0.9f);
    hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
    const Encoded there = encode(codec, layer_of(x.size()), x, before, 0.3f, 0.9f);
    hwy::SetSupportedTargetsForTest(GetParam());
    EXPECT_EQ(here.payload, there.payload);
    EXPECT_EQ(bits_of(here.residual), bits_of(there.residual));
  }
}

}  // namespace
}  // namespace thinwire::compressors

#include "compressors/quantize/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compressors/quantize/kernels.h"
#include "compressors/quantize/levels.h"
#include "support.h"
#include "tests/support/targets.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

constexpr float kSmallest = std::numeric_limits<float>::denorm_min();

std::vector<float> round_trip(const QuantizeCodec& codec, const std::vector<float>& x) {
  return decode(codec, layer_of(x.size()), encode(codec, layer_of(x.size()), x).payload);
}

TEST(Levels, TakeTheirBitsOfTheStreamAtEveryWidth) {
  const Draw draw(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (size_t count = 1; count <= 40; ++count) {
      std::vector<uint8_t> levels(count), unpacked(count);
      for (size_t i = 0; i < count; ++i) levels[i] = static_cast<uint8_t>(draw.below(100 * count + i, 1u << bits));
      Payload packed(packed_levels_bytes(count, bits));
      ASSERT_EQ(packed.size(), (count * static_cast<size_t>(bits) + 7) / 8);
      pack_levels(levels, bits, packed.data());
      for (size_t at = 0; at < 8 * packed.size(); ++at) {
        const size_t level = at / static_cast<size_t>(bits), bit = at % static_cast<size_t>(bits);
        const int expected = level < count ? levels[level] >> bit & 1 : 0;
        ASSERT_EQ(std::to_integer<int>(packed[at / 8] >> (at % 8)) & 1, expected) << bits << " bits, " << count << " levels, bit " << at;
      }
      ASSERT_TRUE(unpack_levels(packed.data(), bits, unpacked));
      ASSERT_EQ(unpacked, levels);
      if (count * static_cast<size_t>(bits) % 8 == 0) continue;
      packed.back() |= std::byte{0x80};
      ASSERT_FALSE(unpack_levels(packed.data(), bits, unpacked));
    }
  }
}

TEST(Quantize, IsExactOnConstantBucketsAtEveryWidth) {
  for (int64_t bits = 1; bits <= 8; ++bits) {
    for (const std::string rounding : {"nearest", "stochastic"}) {
      const QuantizeCodec codec({.bits = bits, .bucket = 16, .rounding = rounding});
      for (const float value : {0.0f, 1.0f, -0.3f, 1e-30f, kSmallest, kLargest, -kLargest}) {
        EXPECT_EQ(round_trip(codec, std::vector<float>(37, value)), std::vector<float>(37, value));
      }
    }
  }
}

// Two values are both ends: exact at every width, also where their distance is no fp32.
TEST(Quantize, IsExactOnTheEndsOfABucket) {
  for (int64_t bits = 1; bits <= 8; ++bits) {
    const QuantizeCodec codec({.bits = bits});
    for (const auto& [low, high] : {std::pair(-kLargest, kLargest), std::pair(-1.0f, 0.1f), std::pair(-kSmallest, 7 * kSmallest)}) {
      const std::vector<float> x{high, low, low, high, low};
      EXPECT_EQ(round_trip(codec, x), x);
    }
  }
}

// A ramp of n elements has the ends 0 and n - 1; to nearest, nothing is further from its level than half a unit (and an fp32 rounding).
TEST(Quantize, KeepsTheAnalyticBoundOnRamps) {
  for (int64_t bits = 1; bits <= 8; ++bits) {
    for (const int64_t bucket : {64, 512, 2048}) {
      std::vector<float> ramp(2 * static_cast<size_t>(bucket) + 13);
      for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i);
      const double unit = static_cast<double>(bucket - 1) / ((1 << bits) - 1);
      const std::vector<float> nearest = round_trip(QuantizeCodec({.bits = bits, .bucket = bucket}), ramp);
      const std::vector<float> either = round_trip(QuantizeCodec({.bits = bits, .bucket = bucket, .rounding = "stochastic"}), ramp);
      for (size_t i = 0; i < ramp.size(); ++i) {
        ASSERT_LE(std::fabs(nearest[i] - ramp[i]), unit / 2 + 0x1p-24 * ramp[i]);
        ASSERT_LE(std::fabs(either[i] - ramp[i]), unit + 0x1p-24 * ramp[i]);
      }
    }
  }
}

// The mean of T draws of a value between two levels has a standard deviation of at most unit / (2 sqrt T).
TEST(Quantize, RoundsStochasticallyWithoutBias) {
  constexpr int kDraws = 4000;
  constexpr size_t kElems = 20;
  for (const auto& [scheme, bits] : {std::pair("minmax", 2), std::pair("minmax", 4), std::pair("qsgd", 3)}) {
    const QuantizeCodec codec({.bits = bits, .bucket = 24, .scheme = scheme, .rounding = "stochastic"});
    const Layer layer = layer_of(kElems);
    const std::vector<float> x = normal_values(kElems, 3);
    const auto [min, max] = std::ranges::minmax(x);
    const double unit = scheme == std::string("minmax") ? (max - min) / ((1 << bits) - 1) : std::sqrt(square_sum(x)) / 3;
    std::vector<double> mean(kElems);
    std::vector<std::max_align_t> scratch(codec.traits(layer).scratch_bytes / sizeof(std::max_align_t) + 1);
    Payload payload(codec.traits(layer).worst_bytes);
    std::vector<float> decoded(kElems);
    for (uint64_t i = 0; i < kDraws; ++i) {
      Context context{.scratch = std::as_writable_bytes(std::span(scratch)), .own = Draw(i)};
      codec.encode(layer, {.x = x.data()}, context, payload.data());
      std::ranges::fill(decoded, 0.0f);
      codec.decode_add(layer, payload, 1, decoded.data(), context);
      for (size_t j = 0; j < kElems; ++j) mean[j] += decoded[j] / double{kDraws};
    }
    for (size_t j = 0; j < kElems; ++j) EXPECT_NEAR(mean[j], x[j], 5 * unit / (2 * std::sqrt(kDraws))) << scheme << ", element " << j;
  }
}

// Element i: the i-th 16 bits of the blocks, each block a 128-bit number.
TEST(Quantize, DrawsSixteenBitsForEachElement) {
  const Draw draw(5, 7);
  std::vector<uint16_t> bits(21);
  quantize_reference::draw_bits(draw, 16, bits);
  for (size_t i = 0; i < bits.size(); ++i) {
    const auto words = draw.words((16 + i) / 8);
    EXPECT_EQ(draw.bits((16 + i) / 8), words[0] | uint64_t{words[1]} << 32);
    const uint64_t half = i % 8 < 4 ? words[0] | uint64_t{words[1]} << 32 : words[2] | uint64_t{words[3]} << 32;
    EXPECT_EQ(bits[i], half >> 16 * (i % 4) & 0xffff);
  }
}

TEST(Quantize, OfQsgdNeverSendsMoreThanTheNorm) {
  const QuantizeCodec codec({.bits = 4, .scheme = "qsgd"});
  EXPECT_EQ(round_trip(codec, {kLargest, -kLargest, kLargest}), (std::vector<float>{kLargest, -kLargest, kLargest}));  // the capped scale
  EXPECT_EQ(round_trip(codec, {0, -2, 0}), (std::vector<float>{0, -2, 0}));
  // norm 5, levels 5/7 apart: 3 = 4.2 of them, -4 = -5.6
  EXPECT_EQ(round_trip(codec, {3, -4}), (std::vector<float>{static_cast<float>(20.0 / 7), static_cast<float>(-30.0 / 7)}));
}

TEST(Quantize, StatesItsContraction) {
  const auto delta = [](const QuantizeOptions& options, size_t elems) { return QuantizeCodec(options).traits(layer_of(elems)).delta; };
  EXPECT_NEAR(delta({.bits = 8}, 5000), 1 - 65.0 / 64 * 1022 / (2 * 255 * 255), 1e-8);
  EXPECT_NEAR(delta({.bits = 8, .rounding = "stochastic"}, 5000), 1 - 65.0 / 64 * 4 * 1022 / (2 * 255 * 255), 1e-8);
  EXPECT_NEAR(delta({.bits = 4}, 100), 1 - 65.0 / 64 * 98 / (2 * 15 * 15), 1e-8);
  EXPECT_LT(delta({.bits = 4}, 5000), 0);
  EXPECT_NEAR(delta({.bits = 4}, 2), 1, 1e-8);
  EXPECT_NEAR(delta({.bits = 8, .scheme = "qsgd"}, 5000), 1 - 65.0 / 64 * 1024 / (4 * 127 * 127), 1e-8);
  EXPECT_EQ(delta({.bits = 4, .scheme = "qsgd"}, 5000), 0);
}

// At bits 3, 5 elements: minmax has min at 0, max at 4 and 15 bits at 8; qsgd the scale at 0 and the bits at 4.
std::string refusal(const std::string& scheme, size_t at, std::initializer_list<uint8_t> bytes, std::vector<float> x = {1, -3, 0.5, 3, 0}) {
  const QuantizeCodec codec({.bits = 3, .bucket = 8, .scheme = scheme});
  Payload payload = encode(codec, layer_of(5), x).payload;
  for (const uint8_t byte : bytes) payload[at++] = std::byte{byte};
  try {
    decode(codec, layer_of(5), payload);
  } catch (const CorruptData& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Quantize, SaysWhatIsWrongWithAPayload) {
  const std::string prefix = "quantize payload of layer 3: bucket 0: ";
  const std::vector<float> ones(5, 1.0f), zeros(5, 0.0f);
  EXPECT_EQ(refusal("minmax", 0, {}), "accepted");
  EXPECT_EQ(refusal("minmax", 0, {0, 0, 0x80, 0x7f}), prefix + "scale is not finite");
  EXPECT_EQ(refusal("minmax", 4, {0, 0, 0xc0, 0x7f}), prefix + "scale is not finite");
  EXPECT_EQ(refusal("minmax", 0, {0, 0, 0, 0x80}), prefix + "scale is -0");
  EXPECT_EQ(refusal("minmax", 4, {0, 0, 0x80, 0xc0}), prefix + "min is above max");  // -4
  EXPECT_EQ(refusal("minmax", 9, {0x80}), prefix + "padding is not 0");
  EXPECT_EQ(refusal("minmax", 8, {0x01}, ones), prefix + "levels differ where all values are equal");
  EXPECT_EQ(refusal("qsgd", 0, {0, 0, 0x80, 0xbf}), prefix + "scale is below 0");
  EXPECT_EQ(refusal("qsgd", 4, {0xff, 0x7f}), prefix + "level is out of range");
  EXPECT_EQ(refusal("qsgd", 4, {0, 0}, zeros), prefix + "levels differ where all values are equal");
}

TEST(QuantizeKernels, EqualTheReferenceOnEveryTarget) {
  namespace reference = quantize_reference;
  namespace kernels = quantize_kernels;
  test::on_every_target([] {
    for (const size_t elems : {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1024, 1027}) {
      for (const Input& input : hurtful_inputs(elems)) {
        SCOPED_TRACE(input.name + ", " + std::to_string(elems) + " elements");
        const std::vector<float>& a = input.values;
        const auto [min, max] = kernels::ends_of(a);
        const auto ends = reference::ends_of(a);
        ASSERT_EQ(bits_of({min, max}), bits_of({ends.min, ends.max}));
        std::vector<uint16_t> draws(elems), expected_draws(elems);
        const Draw draw(0x123456789abcdef0, 0xfedcba9876543210);
        for (const uint64_t first : {uint64_t{0}, uint64_t{0xfffffffff0}}) {
          kernels::draw_bits(draw, first, draws);
          reference::draw_bits(draw, first, expected_draws);
          ASSERT_EQ(draws, expected_draws);
        }
        for (const Grid& grid :
             {Grid::between(min, max, 4), Grid::between(min, max, 8), Grid::around_zero(max - min > 0 ? kLargest : 0, 8)}) {
          for (const auto& used : {std::span<const uint16_t>(), std::span<const uint16_t>(draws)}) {
            std::vector<float> left(elems), expected_left(elems), out = normal_values(elems, 3), expected_out = out;
            std::vector<uint8_t> levels(elems), expected_levels(elems);
            reference::quantize(grid, used, a, expected_levels, expected_left.data());
            kernels::quantize(grid, used, a, levels, nullptr);
            ASSERT_EQ(levels, expected_levels);
            std::ranges::fill(levels, uint8_t{0xff});
            kernels::quantize(grid, used, a, levels, left.data());
            ASSERT_EQ(levels, expected_levels);
            ASSERT_EQ(bits_of(left), bits_of(expected_left));
            std::ranges::transform(levels, expected_levels.begin(), [](uint8_t level) { return static_cast<uint8_t>(level % 16); });
            Payload packed(packed_levels_bytes(elems, 4)), expected_packed(packed.size());
            kernels::pack_levels4(expected_levels, packed.data());
            pack_levels(expected_levels, 4, expected_packed.data());
            ASSERT_EQ(packed, expected_packed);
            std::vector<uint8_t> unpacked(elems);
            ASSERT_TRUE(kernels::unpack_levels4(packed.data(), unpacked));
            ASSERT_EQ(unpacked, expected_levels);
            kernels::add_values(grid, levels, -0.37f, out.data());
            reference::add_values(grid, levels, -0.37f, expected_out.data());
            ASSERT_EQ(bits_of(out), bits_of(expected_out));
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace thinwire::compressors

#include "compressors/topk/topk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compressors/topk/packed12.h"
#include "compressors/topk/reference.h"
#include "compressors/values/scaled_half.h"
#include "support.h"

namespace thinwire::compressors {
namespace {

using namespace testing;

TopkCodec codec_of(double density, int64_t chunk) { return TopkCodec({.density = density, .chunk = chunk}); }

std::vector<uint16_t> selected(const std::vector<float>& values, size_t count) {
  std::vector<uint32_t> magnitudes(values.size());
  std::vector<uint16_t> indices(count);
  select_largest(values, magnitudes, indices);
  return indices;
}

// The independent model: sort everything, largest first, lower index first among equals.
std::vector<uint16_t> selected_by_sorting(const std::vector<float>& values, size_t count) {
  std::vector<uint16_t> order(values.size());
  std::iota(order.begin(), order.end(), uint16_t{0});
  std::ranges::stable_sort(order, [&](uint16_t i, uint16_t j) { return std::fabs(values[i]) > std::fabs(values[j]); });
  order.resize(count);
  std::ranges::sort(order);
  return order;
}

TEST(Topk, BreaksTiesByTheLowerIndex) {
  EXPECT_EQ(selected({1, -2, 2, 0, -2, 2}, 3), (std::vector<uint16_t>{1, 2, 4}));
  EXPECT_EQ(selected({1, -2, 2, 0, -2, 3}, 3), (std::vector<uint16_t>{1, 2, 5}));
  EXPECT_EQ(selected({0, -0.0f, 0, 0}, 2), (std::vector<uint16_t>{0, 1}));
}

TEST(Topk, SelectsLikeAFullSortOnDataWithManyTies) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Draw draw(seed);
    const size_t elems = 1 + draw.below(0, 4096), count = 1 + draw.below(1, elems);
    const uint64_t levels = 1 + draw.below(2, 40);  // few different magnitudes: many ties
    std::vector<float> values(elems);
    for (size_t i = 0; i < elems; ++i) {
      values[i] = static_cast<float>(draw.below(3 + i, levels)) * (draw.bits(10000 + i) % 2 == 0 ? -0.25f : 0.25f);
    }
    ASSERT_EQ(selected(values, count), selected_by_sorting(values, count)) << "seed " << seed;
  }
}

// The whole codec against the model: sort, round to 11 bits relative to the chunk's largest, leave the rest.
TEST(Topk, DecodesToTheSortedModel) {
  constexpr size_t kChunk = 100, kElems = 350;
  const TopkCodec codec = codec_of(0.07, kChunk);
  std::vector<float> a = normal_values(kElems, 4);
  for (float& value : a) value = std::round(value * 8) * 0.01f;  // ties
  const std::vector<float> decoded = decode(codec, layer_of(kElems), encode(codec, layer_of(kElems), a).payload);
  for (size_t begin = 0; begin < kElems; begin += kChunk) {
    const size_t elems = std::min(kChunk, kElems - begin);
    const std::vector<float> chunk(a.begin() + static_cast<long>(begin), a.begin() + static_cast<long>(begin + elems));
    std::vector<double> expected(elems, 0.0);
    for (const uint16_t index : selected_by_sorting(chunk, elems == kChunk ? 7 : 4)) {  // 0.07 * 50 = 3.5 rounds to 4
      int exponent;
      const double mantissa = std::frexp(chunk[index], &exponent);
      expected[index] = std::ldexp(std::nearbyint(mantissa * 2048), exponent - 11);
    }
    for (size_t i = 0; i < elems; ++i) EXPECT_EQ(decoded[begin + i], expected[i]) << "element " << begin + i;
  }
}

TEST(Topk, KeepsAtLeastOneElementOfEachChunk) {
  const TopkCodec codec = codec_of(1e-9, 10);
  const Traits traits = codec.traits(layer_of(21));
  EXPECT_EQ(traits.exact_bytes, 3u * 5);  // exponent, one half, one index in two bytes
  EXPECT_DOUBLE_EQ(traits.delta, (1 - 0x1p-21) * 0.1);
}

TEST(Topk, StatesTheContractionOfItsWorstChunk) {
  EXPECT_DOUBLE_EQ(codec_of(0.0625, 4096).traits(layer_of(8192)).delta, (1 - 0x1p-21) / 16);
  EXPECT_DOUBLE_EQ(codec_of(0.25, 8).traits(layer_of(8 + 5)).delta, (1 - 0x1p-21) / 5);  // round(1.25) = 1 of 5 is less than 2 of 8
  EXPECT_DOUBLE_EQ(codec_of(0.25, 8).traits(layer_of(8 + 3)).delta, (1 - 0x1p-21) / 4);  // 1 of 3 is more than 2 of 8
  EXPECT_DOUBLE_EQ(codec_of(0.25, 8).traits(layer_of(6)).delta, (1 - 0x1p-21) / 3);      // there is no full chunk: 2 of 6
  EXPECT_DOUBLE_EQ(codec_of(0.25, 8).traits(layer_of(0)).delta, 1 - 0x1p-21);
}

// A constant chunk is the worst case of the bound: k of n equal squares arrive, and fp16 represents 0.5 exactly.
TEST(Topk, MeetsItsBoundOnAConstantChunk) {
  const TopkCodec codec = codec_of(0.0625, 4096);
  const std::vector<float> a(4096, 0.5f);
  const Encoded encoded = encode(codec, layer_of(4096), a, std::vector<float>(4096, 0.0f));
  EXPECT_EQ(square_sum(encoded.residual), (1 - 1.0 / 16) * square_sum(a));
}

TEST(Topk, KeepsElevenBitsOfValuesBelowTheRangeOfFp16) {
  const TopkCodec codec = codec_of(0.5, 16);
  std::vector<float> a = normal_values(16, 1);
  for (float& value : a) value *= 1e-20f;
  const std::vector<float> decoded = decode(codec, layer_of(16), encode(codec, layer_of(16), a).payload);
  EXPECT_EQ(std::ranges::count_if(decoded, [](float value) { return value != 0; }), 8);
  for (size_t i = 0; i < a.size(); ++i) {
    if (decoded[i] == 0) continue;
    EXPECT_LE(std::fabs(a[i] - decoded[i]), 0x1p-11f * std::fabs(a[i]));
  }
}

TEST(ScaledHalf, PutsTheLargestMagnitudeBelowTwoToTheFifteen) {
  EXPECT_EQ(ScaledHalf::exponent_for(0), 0);
  EXPECT_EQ(ScaledHalf::exponent_for(1), -14);
  EXPECT_EQ(ScaledHalf::exponent_for(0x1.fffffep0f), -14);
  EXPECT_EQ(ScaledHalf::exponent_for(0x1p14f), 0);
  EXPECT_EQ(ScaledHalf::exponent_for(std::numeric_limits<float>::max()), ScaledHalf::kMostExponent);
  EXPECT_EQ(ScaledHalf::exponent_for(0x1p-114f), ScaledHalf::kLeastExponent);
  EXPECT_EQ(ScaledHalf::exponent_for(std::numeric_limits<float>::denorm_min()), ScaledHalf::kLeastExponent);
}

// For every binade: the ends, random mantissas, and smaller companions down to the smallest denormal.
TEST(ScaledHalf, KeepsItsStatedErrorOverAllOfFp32) {
  const Draw draw(1);
  for (uint32_t i = 0; i < 200000; ++i) {
    const uint32_t binade = static_cast<uint32_t>(draw.below(3 * i, 255)) << 23;
    const uint32_t mantissa = i % 4 == 0 ? 0 : i % 4 == 1 ? 0x7fffff : static_cast<uint32_t>(draw.below(3 * i + 1, 0x800000));
    const float largest = std::bit_cast<float>(binade | mantissa);
    const float value = std::bit_cast<float>(static_cast<uint32_t>(draw.below(3 * i + 2, uint64_t{binade | mantissa} + 1)));
    const ScaledHalf scale(ScaledHalf::exponent_for(largest));
    for (const float a : {largest, value, -value}) {
      const double error = std::fabs(static_cast<double>(a) - scale.decode(scale.encode(a)));
      ASSERT_LE(error, std::max(0x1p-11 * std::fabs(a), 0x1p-39 * largest)) << a << " beside " << largest;
    }
  }
}

TEST(Packed12, PacksAsTheFormatPageSays) {
  Payload out(packed12_bytes(3));
  pack12(std::vector<uint16_t>{0x123, 0xabc, 0xdef}, out.data());
  // 0x123: low byte 23, high digit 1. 0xabc: low digit c, high byte ab. 0xdef alone: low byte ef, then 0d.
  EXPECT_EQ(out, (Payload{std::byte{0x23}, std::byte{0xc1}, std::byte{0xab}, std::byte{0xef}, std::byte{0x0d}}));
}

TEST(Packed12, TakesAByteAndAHalfEach) {
  EXPECT_EQ(packed12_bytes(0), 0u);
  EXPECT_EQ(packed12_bytes(1), 2u);
  EXPECT_EQ(packed12_bytes(2), 3u);
  EXPECT_EQ(packed12_bytes(3), 5u);
  EXPECT_EQ(packed12_bytes(256), 384u);
}

TEST(Packed12, UnpacksEveryNumberInEveryPlace) {
  std::vector<uint16_t> numbers(2 * 4096 + 1), unpacked(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<uint16_t>(i % 2 == 0 ? i / 2 % 4096 : 4095 - i / 2);
  Payload packed(packed12_bytes(numbers.size()));
  pack12(numbers, packed.data());
  EXPECT_TRUE(unpack12(packed.data(), unpacked));
  EXPECT_EQ(unpacked, numbers);
}

// One payload of 3 of 8 elements: byte 0 exponent, 1-6 halves, 7-9 two indices, 10-11 the third.
std::string refusal(size_t at, std::initializer_list<uint8_t> bytes) {
  const TopkCodec codec = codec_of(0.375, 8);
  Payload payload = encode(codec, layer_of(8), {1, -3, 0.5, 3, 0, -2, 0.25, -1}).payload;
  for (const uint8_t byte : bytes) payload[at++] = std::byte{byte};
  try {
    decode(codec, layer_of(8), payload);
  } catch (const CorruptData& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Topk, SaysWhatIsWrongWithAPayload) {
  const std::string prefix = "topk payload of layer 3: chunk 0: ";
  EXPECT_EQ(refusal(0, {114}), prefix + "exponent is out of range");
  EXPECT_EQ(refusal(0, {113}), "accepted");
  EXPECT_EQ(refusal(1, {0x00, 0x78}), prefix + "value is out of range");
  EXPECT_EQ(refusal(1, {0xff, 0x77}), "accepted");
  EXPECT_EQ(refusal(1, {0x00, 0xfc}), prefix + "value is out of range");  // -inf
  EXPECT_EQ(refusal(10, {0x05, 0x10}), prefix + "padding is not 0");
  EXPECT_EQ(refusal(10, {0x08, 0x00}), prefix + "index is beyond the chunk");
  EXPECT_EQ(refusal(10, {0x03, 0x00}), prefix + "indices are not ascending");  // a repeated index
  EXPECT_EQ(refusal(7, {0x04, 0x30, 0x00}), prefix + "indices are not ascending");
}

TEST(Topk, ValidatesTheLastChunkBeforeItAddsTheFirst) {
  const TopkCodec codec = codec_of(0.5, 8);
  Payload payload = encode(codec, layer_of(24), normal_values(24, 1)).payload;
  payload.back() = std::byte{0xff};
  std::vector<float> out(24, 1.0f);
  EXPECT_THROW(decode_add(codec, layer_of(24), payload, 1, out), CorruptData);
  EXPECT_EQ(out, std::vector<float>(24, 1.0f));
}

}  // namespace
}  // namespace thinwire::compressors

// Exact coding of whole tensors: every byte comes back, all damage is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint/exact/chunk.h"
#include "exact_support.h"

namespace thinwire::checkpoint::exact::testing {
namespace {

using ::testing::HasSubstr;

constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::f16, DType::i64, DType::u8, DType::f64};

std::string error_of_decode(ConstBytes coded, DType dtype, ConstBytes earlier, size_t num_bytes) {
  try {
    decode_one(coded, dtype, earlier, num_bytes);
  } catch (const CorruptData& e) {
    return e.what();
  }
  return "";
}

// Two generations of a tensor of some chunks, coded against each other: all forms of chunks and streams occur in the tests below.
struct Pair {
  std::vector<float> old_values, new_values;
  Bytes earlier, now;
  explicit Pair(size_t elems, float step = 1e-4f)
      : old_values(normal_floats(elems, 1, 0.04f)),
        new_values(stepped(old_values, 2, step)),
        earlier(to_bytes(old_values)),
        now(to_bytes(new_values)) {}
  Tensor tensor() const { return {DType::f32, 100, now, earlier}; }
};

TEST(ExactTensor, EveryBitPatternComesBack) {
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i * 40503);
  const Bytes bytes = to_bytes(halves), other = random_bytes(bytes.size(), 1);
  for (const DType dtype : kDTypes) {
    SCOPED_TRACE(static_cast<int>(dtype));
    EXPECT_TRUE(comes_back({dtype, 0, bytes, {}}));
    EXPECT_TRUE(comes_back({dtype, 64, bytes, {}}));
    EXPECT_TRUE(comes_back({dtype, 64, bytes, other}));
    EXPECT_TRUE(comes_back({dtype, 64, bytes, bytes}));
  }
}

TEST(ExactTensor, SpecialFloatsComeBackBitForBit) {
  using Limits = std::numeric_limits<float>;
  std::vector<float> values = normal_floats(5000, 3, 1e-3f);
  const std::vector<float> special = {
      0.0f,          -0.0f,         Limits::infinity(),  -Limits::infinity(), Limits::denorm_min(), -Limits::denorm_min(),
      Limits::max(), Limits::min(), Limits::quiet_NaN(), Limits::lowest()};
  for (size_t i = 0; i < values.size(); i += 3) values[i] = special[i / 3 % special.size()];
  for (size_t i = 1; i < values.size(); i += 50)
    values[i] = std::bit_cast<float>(0x7f800001u + static_cast<uint32_t>(i));  // signalling NaNs
  const Bytes bytes = to_bytes(values), older = to_bytes(normal_floats(5000, 4, 1e-3f));
  for (const size_t row_elems : {0, 1, 8, 100, 5000, 6000}) {
    EXPECT_TRUE(comes_back({DType::f32, row_elems, bytes, {}}));
    EXPECT_TRUE(comes_back({DType::f32, row_elems, bytes, older}));
    EXPECT_TRUE(comes_back({DType::f32, row_elems, older, bytes}));
  }
}

TEST(ExactTensor, EveryLengthComesBack) {
  for (const size_t elems : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{8}, size_t{9}, size_t{4095}, kChunkElems - 1, kChunkElems,
                             kChunkElems + 1, 2 * kChunkElems + 12345}) {
    SCOPED_TRACE(elems);
    const Bytes now = to_bytes(normal_floats(elems, 5, 1e-6f, 96)), older = to_bytes(normal_floats(elems, 6, 1e-6f, 96));
    for (const uint64_t row_elems : {uint64_t{0}, uint64_t{96}, uint64_t{1} << 40}) {
      EXPECT_TRUE(comes_back({DType::f32, row_elems, now, {}}));
      EXPECT_TRUE(comes_back({DType::f32, row_elems, now, older}));
    }
    const Bytes bytes = random_bytes(elems, 7);
    EXPECT_TRUE(comes_back({DType::u8, 0, bytes, {}}));
  }
}

TEST(ExactTensor, ThreadsChangeNothing) {
  const Pair pair(3 * kChunkElems + 77);
  const Bytes small = random_bytes(64, 8), text(100000, std::byte{'x'});
  const std::vector<Tensor> tensors = {pair.tensor(), {DType::i64, 0, small, {}}, {DType::u8, 0, text, {}}, {DType::f32, 0, pair.now, {}}};
  const auto once = encode(tensors, 1);
  EXPECT_EQ(encode(tensors, 4), once);
  EXPECT_EQ(encode(tensors, 1), once);
  EXPECT_EQ(decode_one(joined(once[0]), DType::f32, pair.earlier, pair.now.size(), 3), pair.now);
}

// Second moments are near a product of rows and columns: log2 of the factors takes 4.8 bits of the exponent's 8 where they are not known,
// and nothing where they are.
TEST(ExactTensor, RowsAndColumnsAreLearnt) {
  std::vector<float> values = normal_floats(kChunkElems, 9, 1e-6f, 256);
  const Bytes bytes = to_bytes(values);
  const size_t with_rows = encode_one({DType::f32, 256, bytes, {}}).size(), without = encode_one({DType::f32, 0, bytes, {}}).size();
  EXPECT_LT(static_cast<double>(with_rows) + 0.06 * kChunkElems, static_cast<double>(without));  // more than half a bit each
}

// What a step of the optimiser leaves: |w| of 0.04 and steps of 1e-4 differ in log2(400) = 8.6 bits. A small step, and bf16, leave fewer.
TEST(ExactTensor, ASmallStepTakesFewBits) {
  const Pair pair(kChunkElems);
  const Bytes against = encode_one(pair.tensor()), alone = encode_one({DType::f32, 100, pair.now, {}});
  EXPECT_GT(static_cast<double>(alone.size()) / static_cast<double>(against.size()), 1.3);
  EXPECT_TRUE(parse_table(against, against.size(), "a").facts.needs_earlier);
  EXPECT_FALSE(parse_table(alone, alone.size(), "a").facts.needs_earlier);
  const Bytes same = encode_one({DType::f32, 100, pair.now, pair.now});
  EXPECT_LT(same.size(), 600u);  // groups, and four constants each
}

TEST(ExactTensor, WhatCannotBeShortenedGrowsLittle) {
  const Bytes noise = random_bytes(4 * kChunkElems, 10);
  EXPECT_LE(encode_one({DType::u8, 0, noise, {}}).size(), noise.size() + table_bytes(4) + 8 + 4 * 3);
  EXPECT_EQ(encode_one({DType::f32, 0, {}, {}}).size(), table_bytes(0) + 8);
}

TEST(ExactTensor, AnotherEarlierGenerationIsRefused) {
  const Pair pair(20000);
  const Bytes coded = encode_one(pair.tensor());
  Bytes other = pair.earlier;
  other[4321] ^= std::byte{1};
  EXPECT_THAT(error_of_decode(coded, DType::f32, other, pair.now.size()), HasSubstr("a tensor: chunk 0"));
  EXPECT_THAT(error_of_decode(coded, DType::f32, {}, pair.now.size()), HasSubstr("earlier generation, which is not there"));
  EXPECT_THAT(error_of_decode(coded, DType::f32, ConstBytes(other).first(4), pair.now.size()), HasSubstr("another size"));
}

TEST(ExactTensor, AnotherTypeOrSizeIsRefused) {
  const Pair pair(1000);
  const Bytes coded = encode_one(pair.tensor());
  EXPECT_THAT(error_of_decode(coded, DType::f32, {}, pair.now.size() - 4), HasSubstr("other elements"));
  EXPECT_THAT(error_of_decode(coded, DType::f32, {}, pair.now.size() + 1), HasSubstr("other elements"));
  EXPECT_THAT(error_of_decode(coded, DType::i64, {}, pair.now.size() * 2), HasSubstr("other elements"));
}

// Flips and cuts where a part ends and at a thousand places.
TEST(ExactTensor, AllDamageIsTold) {
  for (const bool with_earlier : {false, true}) {
    const Pair pair(kChunkElems + 999);
    Tensor tensor = pair.tensor();
    if (!with_earlier) tensor.earlier = {};
    const Parts parts = encode({tensor}, 2).front();
    const Bytes coded = joined(parts);
    std::vector<size_t> places = {0, 4, 5, 6, 8, 16, 24, coded.size() - 1};
    for (size_t end = 0; const auto& part : parts) {
      end += part.size();
      for (const size_t place : {end - 1, end, end + 1}) places.push_back(std::min(place, coded.size() - 1));
    }
    for (uint64_t i = 0; i < 1000; ++i) places.push_back(Draw(11).below(i, coded.size()));
    for (size_t i = 0; i < places.size(); ++i) {
      Bytes damaged = coded;
      damaged[places[i]] ^= std::byte{1} << (i % 8);
      EXPECT_NE(error_of_decode(damaged, DType::f32, tensor.earlier.memory(), pair.now.size()), "") << "flipped at " << places[i];
      EXPECT_NE(error_of_decode(ConstBytes(coded).first(places[i]), DType::f32, tensor.earlier.memory(), pair.now.size()), "")
          << "cut at " << places[i];
    }
  }
}

// With hashes that fit, so that only the checks of lengths are left.
TEST(ExactTensor, LengthsThatLieAreToldBeforeMemoryIsTaken) {
  const Pair pair(1000);
  const Bytes coded = encode_one({DType::f32, 0, pair.now, {}});
  for (const uint64_t elems : {uint64_t{0}, uint64_t{kChunkElems + 1}, uint64_t{1} << 40, ~uint64_t{0}}) {
    Bytes lying = coded;
    store_le(lying.data() + 8, elems);
    mend_table_hash(lying, 1);
    EXPECT_NE(error_of_decode(lying, DType::f32, {}, pair.now.size()), "");
    if (elems > kChunkElems) {
      EXPECT_THROW(parse_table(lying, lying.size(), "a"), CorruptData);
    }
  }
  for (const uint32_t length : {0u, 1u, 0x7fffffffu, ~0u}) {
    Bytes lying = coded;
    store_le(lying.data() + 24, length);
    mend_table_hash(lying, 1);
    EXPECT_NE(error_of_decode(lying, DType::f32, {}, pair.now.size()), "");
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::exact::testing

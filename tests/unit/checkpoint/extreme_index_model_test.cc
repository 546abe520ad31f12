// Index maps: what is coded comes back, in about as many bits as its entropy; foreign bytes are refused or decoded, never worse.
#include "checkpoint/extreme/index_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/draw.h"
#include "checkpoint/extreme/bits.h"

namespace thinwire::checkpoint::extreme {
namespace {

using Map = std::vector<uint8_t>;
using Bytes = std::vector<std::byte>;

Bytes coded(const Map& map, const Surroundings& around = {}) {
  Bytes out;
  IndexModel().encode(map, around, out);
  return out;
}
Map decoded(ConstBytes bytes, size_t elems, const Surroundings& around = {}) {
  Map map(elems, 9);
  IndexModel().decode(bytes, around, map);
  return map;
}

// Zero with probability 1/2, else one of 1 to 15: an entropy of 1 + log2(15) / 2 = 2.953 bits.
Map drawn(size_t elems, uint64_t seed) {
  Map map(elems);
  const Draw draw(seed);
  for (size_t i = 0; i < elems; ++i) map[i] = static_cast<uint8_t>(draw.below(i, 2) == 0 ? 0 : 1 + draw.below(1'000'000 + i, 15));
  return map;
}

// A bit of probability p costs -log2 p: 20,000 of them, one in ten a 1, take 20,000 H(0.1) = 9,380 bits.
TEST(Bits, CostWhatTheirProbabilitiesSay) {
  Bytes out;
  BitEncoder encoder(out);
  const Draw draw(1);
  double bits = 0;
  for (size_t i = 0; i < 20'000; ++i) {
    const int bit = draw.below(i, 10) == 0 ? 1 : 0;
    encoder.code(bit, 6554);
    bits -= std::log2(bit != 0 ? 6554.0 / 65536 : 1 - 6554.0 / 65536);
  }
  encoder.finish();
  EXPECT_NEAR(static_cast<double>(out.size()), bits / 8, 8);
  BitDecoder decoder(out);
  for (size_t i = 0; i < 20'000; ++i) ASSERT_EQ(decoder.code(0, 6554), draw.below(i, 10) == 0 ? 1 : 0);
  EXPECT_TRUE(decoder.is_at_end());
}

TEST(Bits, ComeBackAtEveryProbability) {
  for (const uint32_t one : {1u, 2u, 32768u, 65534u, 65535u}) {
    for (const size_t count : {0, 1, 7, 100}) {
      Bytes out;
      BitEncoder encoder(out);
      for (size_t i = 0; i < count; ++i) encoder.code(static_cast<int>(i % 3 % 2), one);
      encoder.finish();
      BitDecoder decoder(out);
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(decoder.code(0, one), static_cast<int>(i % 3 % 2));
      EXPECT_TRUE(decoder.is_at_end()) << one << " " << count;
    }
  }
}

TEST(IndexModel, EveryMapComesBack) {
  for (const size_t elems : {0, 1, 2, 17, 1000}) {
    for (const size_t row : {0, 1, 7, 100, 5000}) {
      const Map map = drawn(elems, 1), guide = drawn(elems, 2), second = drawn(elems, 3), earlier = drawn(elems, 4);
      for (const Surroundings& around : {Surroundings{}, Surroundings{guide, {}, {}, false}, Surroundings{guide, second, earlier, false}}) {
        Surroundings with_rows = around;
        with_rows.row_elems = row;
        with_rows.first_column = row / 2;
        EXPECT_EQ(decoded(coded(map, with_rows), elems, with_rows), map) << elems << " " << row;
      }
    }
  }
}

TEST(IndexModel, DrawnIndicesTakeTheirEntropyAndLittleMore) {
  const size_t elems = 200'000;
  const double entropy_bytes = (1 + std::log2(15.0) / 2) * elems / 8;
  const double bytes = static_cast<double>(coded(drawn(elems, 1)).size());
  EXPECT_GT(bytes, entropy_bytes * 0.99);
  EXPECT_LT(bytes, entropy_bytes * 1.03);
}

TEST(IndexModel, WhatAnotherMapTellsTakesNearlyNothing) {
  const size_t elems = 100'000;
  const Map map = drawn(elems, 1);
  const double alone = static_cast<double>(coded(map).size());
  EXPECT_LT(coded(map, {map, {}, {}, false}).size(), alone / 50);
  EXPECT_LT(coded(map, {{}, {}, map, false}).size(), alone / 20);
}

// Places where the guide has 0 are not coded: a map that is 0 wherever its guide is takes no bit for it.
TEST(IndexModel, PlacesThatTheGuideRulesOutTakeNothing) {
  const Map guide = drawn(50'000, 1);
  Map map(guide.size());
  for (size_t i = 0; i < map.size(); ++i) map[i] = guide[i] == 0 ? 0 : 5;
  const Surroundings around{guide, {}, {}, true};
  const Bytes bytes = coded(map, around);
  EXPECT_LT(bytes.size(), 60u);
  EXPECT_EQ(decoded(bytes, map.size(), around), map);
  EXPECT_EQ(coded(Map(1000), {Map(1000), {}, {}, true}).size(), 0u);
}

TEST(IndexModel, RowsAndColumnsAreSeen) {
  Map map(100 * 500);
  const Draw draw(1);
  for (size_t i = 0; i < map.size(); ++i) map[i] = static_cast<uint8_t>(draw.below(i % 500, 12) + draw.below(i, 2));  // by column
  Surroundings around;
  const size_t alone = coded(map, around).size();
  around.row_elems = 500;
  EXPECT_LT(coded(map, around).size(), alone / 2);
}

TEST(IndexModel, MoreOrFewerBytesThanThereAreAreRefused) {
  const Map map = drawn(3000, 1);
  Bytes bytes = coded(map);
  bytes.resize(bytes.size() + 5);
  EXPECT_THROW(decoded(bytes, map.size()), CorruptData);
  bytes.resize(bytes.size() / 2);
  EXPECT_THROW(decoded(bytes, map.size()), CorruptData);
  EXPECT_THROW(decoded(coded(map), 100), CorruptData);
}

TEST(IndexModel, AnyBytesDecodeToIndices) {
  const Draw draw(5);
  for (uint64_t trial = 0; trial < 20; ++trial) {
    Bytes bytes(200);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(draw.below(1000 * trial + i, 256));
    Map map(700);
    try {
      IndexModel().decode(bytes, {}, map);
    } catch (const CorruptData&) {
      SUCCEED();
    }
    for (const uint8_t index : map) EXPECT_LT(index, 16);
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::extreme

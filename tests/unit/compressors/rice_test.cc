// Rice coding against a model that writes the definition down bit by bit, and against formulas.
#include "compressors/entropy/rice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/draw.h"

namespace thinwire::compressors {
namespace {

using Positions = std::vector<uint32_t>;
using Bytes = std::vector<std::byte>;

// A random choice of `count` of `of`, ascending.
Positions choose(size_t count, size_t of, uint64_t seed) {
  const Draw draw(seed);
  std::set<uint32_t> chosen;
  for (uint64_t i = 0; chosen.size() < count; ++i) chosen.insert(static_cast<uint32_t>(draw.below(i, of)));
  return {chosen.begin(), chosen.end()};
}

std::string model_bits(const Positions& positions, unsigned parameter) {
  std::string bits;
  int64_t before = -1;
  for (const uint32_t position : positions) {
    const uint64_t gap = static_cast<uint64_t>(position - before - 1);
    bits += std::string(gap / (uint64_t{1} << parameter), '0') + '1';
    for (unsigned i = 0; i < parameter; ++i) bits += (gap / (uint64_t{1} << i)) % 2 == 1 ? '1' : '0';
    before = position;
  }
  return bits;
}

Bytes model_bytes(std::string bits) {
  bits.resize((bits.size() + 7) / 8 * 8, '0');
  Bytes bytes;
  for (size_t i = 0; i < bits.size(); i += 8) {
    unsigned byte = 0;
    for (size_t bit = 0; bit < 8; ++bit) byte += bits[i + bit] == '1' ? 1u << bit : 0;
    bytes.push_back(static_cast<std::byte>(byte));
  }
  return bytes;
}

Bytes coded(const Positions& positions, size_t of, unsigned parameter) {
  Bytes out(rice::worst_bytes(positions.size(), of, parameter));  // exactly: a sanitizer sees a byte too many
  out.resize(rice::encode(std::span<const uint32_t>(positions), parameter, out.data()));
  out.shrink_to_fit();
  return out;
}

// The positions, or nothing where the bytes are refused.
std::optional<Positions> decoded(const Bytes& bytes, size_t count, size_t of, unsigned parameter) {
  Positions positions(count);
  size_t used_bytes = 0;
  if (!rice::decode(bytes, parameter, of, std::span(positions), used_bytes)) return std::nullopt;
  EXPECT_LE(used_bytes, bytes.size());
  return positions;
}

TEST(Rice, WritesWhatTheDefinitionSays) {
  // r = 1, gaps 0, 3, 4. 0 is no zero, "1", "0"; 3 is one zero, "1", "1"; 4 is two zeros, "1", "0". Together 1 0 0 1 1 0 0 1 | 0: as
  // the lowest bit comes first, 2^0 + 2^3 + 2^4 + 2^7 = 0x99, and 0.
  EXPECT_EQ(coded({0, 4, 9}, 10, 1), (Bytes{std::byte{0x99}, std::byte{0x00}}));
}

TEST(Rice, EqualsTheModelAndComesBack) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Draw draw(1000 + seed);
    const size_t of = 1 + draw.below(0, seed % 3 == 0 ? 20 : seed % 3 == 1 ? 4096 : 100000);
    const size_t count = std::min<size_t>(draw.below(1, of + 1), 2000);
    const unsigned best = rice::parameter_for(count, of);
    const Positions positions = choose(count, of, seed);
    for (const unsigned parameter : {best, 0u, 3u, 17u, rice::kMostParameter}) {
      const Bytes bytes = coded(positions, of, parameter);
      ASSERT_EQ(bytes, model_bytes(model_bits(positions, parameter))) << count << " of " << of << ", parameter " << parameter;
      ASSERT_EQ(decoded(bytes, count, of, parameter), positions);
    }
  }
}

TEST(Rice, TakesPositionsUpToTheLast32BitOne) {
  const Positions positions{0, 1, 0x7fffffff, 0xfffffffe, 0xffffffff};
  constexpr size_t kOf = size_t{1} << 32;
  for (const unsigned parameter : {20u, 26u, 30u, 31u}) {
    EXPECT_EQ(decoded(coded(positions, kOf, parameter), positions.size(), kOf, parameter), positions) << parameter;
  }
}

TEST(Rice, ReachesItsWorstLengthAndNeverMore) {
  for (const unsigned parameter : {0u, 2u, 5u, 9u}) {
    for (const size_t count : {1, 2, 7, 64}) {
      Positions late(count);
      std::iota(late.begin(), late.end(), static_cast<uint32_t>(4096 - count));  // one gap of 4096 - count, then none
      EXPECT_EQ(model_bits(late, parameter).size(), rice::worst_bits(count, 4096, parameter));
      EXPECT_EQ(coded(late, 4096, parameter).size(), rice::worst_bytes(count, 4096, parameter));
    }
  }
  EXPECT_EQ(rice::worst_bits(0, 4096, 5), 0u);
  EXPECT_EQ(rice::worst_bits(64, 4096, 5), 64u * 6 + 126);  // 4032 / 32
  EXPECT_EQ(rice::worst_bytes(64, 4096, 5), 64u);           // 510 bits
}

// The mean cost r + 1 / (1 - (1 - p)^(2^r)) of geometric gaps, by its formula, for every r: the parameter has the least.
TEST(Rice, PicksTheCheapestParameter) {
  for (const auto& [kept, of] : {std::pair(64, 4096), {32, 4096}, {128, 4096}, {1, 2}, {2, 3}, {1, 4096}, {4095, 4096}, {1, 1 << 20}}) {
    const double missed = 1 - static_cast<double>(kept) / of;
    const auto cost = [&](unsigned r) { return r + 1 / (1 - std::pow(missed, std::pow(2.0, r))); };
    unsigned best = 0;
    for (unsigned r = 1; r < 32; ++r) best = cost(r) < cost(best) ? r : best;
    EXPECT_EQ(rice::parameter_for(static_cast<size_t>(kept), static_cast<size_t>(of)), best) << kept << " of " << of;
  }
  EXPECT_EQ(rice::parameter_for(64, 4096), 5u);
  EXPECT_EQ(rice::parameter_for(0, 4096), 0u);
  EXPECT_EQ(rice::parameter_for(4096, 4096), 0u);
  EXPECT_EQ(rice::parameter_for(1, size_t{1} << 32), 31u);
}

// log2(binom(4096, 64)) / 64 = 7.364 bits is the floor.
TEST(Rice, ComesWithinTwoPercentOfTheEntropy) {
  size_t bits = 0;
  constexpr int kChunks = 400;
  for (uint64_t seed = 0; seed < kChunks; ++seed) bits += model_bits(choose(64, 4096, seed), 5).size();
  const double each = static_cast<double>(bits) / (64.0 * kChunks);
  EXPECT_LT(each, 7.364 * 1.02);
  EXPECT_GT(each, 7.364);
}

TEST(Rice, SharesAStreamWithOtherFields) {
  const Positions first = choose(64, 4096, 1), second = choose(10, 100, 2);
  Bytes out(8 + rice::worst_bytes(64, 4096, 5) + rice::worst_bytes(10, 100, 2));
  BitWriter writer(out.data());
  writer.put(0b101, 3);
  rice::encode(first, 5, writer);
  writer.put(0x0123456789abcdef, 64);
  rice::encode(second, 2, writer);
  out.resize(static_cast<size_t>(writer.finish() - out.data()));

  std::string bits = "101" + model_bits(first, 5);
  for (int i = 0; i < 64; ++i) bits += (0x0123456789abcdef >> i & 1) != 0 ? '1' : '0';
  EXPECT_EQ(out, model_bytes(bits + model_bits(second, 2)));

  BitReader reader(out);
  EXPECT_EQ(reader.window() & 7, 0b101u);
  reader.skip(3);
  Positions again(64);
  ASSERT_TRUE(rice::decode(reader, 5, 4096, std::span(again)));
  EXPECT_EQ(again, first);
  EXPECT_EQ(reader.window() & 0xffffffff, 0x89abcdefu);
  reader.skip(64);
  again.resize(10);
  ASSERT_TRUE(rice::decode(reader, 2, 100, std::span(again)));
  EXPECT_EQ(again, second);
  EXPECT_TRUE(reader.padded_with_zeros());
  EXPECT_EQ(reader.used_bytes(), out.size());
}

TEST(Rice, HasSixteenBitFormsOfTheSameBytes) {
  const Positions positions = choose(64, 65536, 1);
  const std::vector<uint16_t> narrow(positions.begin(), positions.end());
  Bytes out(rice::worst_bytes(64, 65536, 9));
  out.resize(rice::encode(std::span<const uint16_t>(narrow), 9, out.data()));
  EXPECT_EQ(out, coded(positions, 65536, 9));
  std::vector<uint16_t> again(64);
  size_t used_bytes = 0;
  ASSERT_TRUE(rice::decode(out, 9, 65536, std::span(again), used_bytes));
  EXPECT_EQ(again, narrow);
  EXPECT_EQ(used_bytes, out.size());
}

TEST(Rice, RefusesWhatEndsTooSoonOrLeavesTheRange) {
  const Positions positions = choose(64, 4096, 1);
  const Bytes bytes = coded(positions, 4096, 5);
  for (size_t length = 0; length < bytes.size(); ++length) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(decoded(cut, 64, 4096, 5), std::nullopt) << length << " bytes";
  }
  EXPECT_EQ(decoded(bytes, 64, positions.back(), 5), std::nullopt) << "the last position is not below `of`";
  EXPECT_EQ(decoded(bytes, 64, positions.back() + 1, 5), positions);
  EXPECT_EQ(decoded(Bytes(100, std::byte{0}), 64, 4096, 5), std::nullopt) << "a run of zeros without end";
  EXPECT_EQ(decoded({}, 1, 4096, 5), std::nullopt);
  EXPECT_EQ(decoded({}, 0, 4096, 5), Positions());
}

TEST(Rice, RefusesPaddingThatIsNotZero) {
  // Position 0 under r = 0 is the bit 1: seven bits of padding.
  EXPECT_EQ(decoded({std::byte{0x01}}, 1, 8, 0), Positions{0});
  for (int bit = 1; bit < 8; ++bit) EXPECT_EQ(decoded({static_cast<std::byte>(1 | 1 << bit)}, 1, 8, 0), std::nullopt);
}

// Whatever the bytes: refused, or strictly ascending below `of`, and then the bytes are the one code of these positions.
TEST(Rice, TurnsNoBytesIntoPositionsOutOfOrder) {
  size_t accepted = 0;
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    const Draw draw(seed);
    Bytes bytes(draw.below(0, 40));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(draw.bits(i + 1) & draw.bits(i + 100));
    const size_t count = 1 + draw.below(1000, 30), of = count + draw.below(1001, 600);
    const unsigned parameter = static_cast<unsigned>(draw.below(1002, 7));
    Positions positions(count);
    size_t used_bytes = 0;
    if (!rice::decode(bytes, parameter, of, std::span(positions), used_bytes)) continue;
    ++accepted;
    ASSERT_TRUE(std::ranges::is_sorted(positions, std::less_equal()) || count == 1);
    for (size_t i = 1; i < count; ++i) ASSERT_LT(positions[i - 1], positions[i]);
    ASSERT_LT(positions.back(), of);
    bytes.resize(used_bytes);
    ASSERT_EQ(coded(positions, of, parameter), bytes);
  }
  EXPECT_GT(accepted, 500u);
}

}  // namespace
}  // namespace thinwire::compressors

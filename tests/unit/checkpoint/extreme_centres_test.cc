// What is pruned, and what stays as which centre: expected values are worked out by hand.
#include "checkpoint/extreme/centres.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/draw.h"
#include "base/dtype.h"
#include "checkpoint/extreme/family.h"

namespace thinwire::checkpoint::extreme {
namespace {

using Floats = std::vector<float>;

struct Found {
  Centres centres;
  std::vector<uint8_t> indices;
  float value(size_t i) const { return from_bf16(centres[indices[i]]); }
};
Found found(const Floats& values, Spacing spacing = Spacing::values, std::vector<uint8_t> stays = {}, float pruned = 0) {
  stays.resize(values.size(), 1);
  Found result{{}, std::vector<uint8_t>(values.size())};
  result.centres = find_centres(values, stays, spacing, pruned, result.indices);
  return result;
}

TEST(Threshold, IsOfMediansAndMeansOfMagnitudes) {
  EXPECT_EQ(threshold_by_median(Floats{-1, 2, -3, 4, 5}, 2), 6);
  EXPECT_EQ(threshold_by_mean(Floats{-1, 2, -3, 4, 5}, 2), 6);
  EXPECT_EQ(threshold_by_median(Floats{}, 2), 0);
  EXPECT_EQ(threshold_by_mean(Floats{}, 2), 0);
  EXPECT_EQ(threshold_by_median(Floats{1, 2}, 0), 0);
}

TEST(FindCentres, FifteenValuesAreTheirOwnCentres) {
  Floats values;
  for (int i = 0; i < 1500; ++i) values.push_back(static_cast<float>(i % 15 - 7) / 4);
  const Found result = found(values);
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(result.value(i), values[i]);
}

TEST(FindCentres, WhatDoesNotStayIsCentreZero) {
  const Found result = found({1, 2, 3, 4}, Spacing::roots, {1, 0, 1, 0}, 0.5f);
  EXPECT_EQ(result.indices[1], 0);
  EXPECT_EQ(result.indices[3], 0);
  EXPECT_EQ(result.value(1), 0.5f);
  EXPECT_EQ(result.value(0), 1);
  EXPECT_EQ(result.value(2), 3);
}

// Of normal numbers N levels leave an error of sqrt(3) pi / (2 N^2) of the variance where N is large (P. Panter, W. Dite, 1951): 0.0121
// with
// 15. bf16 adds next to nothing.
TEST(FindCentres, IsAsGoodAsTheBestQuantizerOfNormalNumbers) {
  Floats values(100'000);
  const Draw draw(1);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(draw.normal(i));
  const Found result = found(values);
  double error = 0, power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(result.value(i) - values[i], 2);
    power += std::pow(values[i], 2);
  }
  EXPECT_LT(error / power, std::sqrt(3.0) * std::acos(-1.0) / (2 * 15 * 15) * 1.1);
}

TEST(FindCentres, ASecondMomentIsNeverZeroThatWasNot) {
  const Found result = found({1e-44f, 1e-44f, 1e-20f, 4}, Spacing::roots);
  for (size_t i = 0; i < 4; ++i) EXPECT_GT(result.value(i), 0) << i;
  EXPECT_GT(from_bf16(found({1, 1e-44f}, Spacing::roots, {1, 0}, 1e-44f).centres[0]), 0);
}

TEST(FindCentres, NothingAtAllHasCentresToo) {
  EXPECT_EQ(found({}).centres, Centres{});
  EXPECT_EQ(found({1, 2}, Spacing::values, {0, 0}).indices, (std::vector<uint8_t>{0, 0}));
}

// Ten weights moved by 1 to 10, so that 0.6 times the median of 6 lets those by 4 and more stay; of their first moments those above twice
// the mean; of the second moments the same.
TEST(Family, IsPrunedTogether) {
  Floats weights, base(10, 100.0f), first(10, 0.125f), second(10, 0.25f);
  for (int i = 1; i <= 10; ++i) weights.push_back(100.0f + static_cast<float>(i));
  first[1] = first[8] = -8;
  second[8] = 16;
  Family family{0, {{Role::weight, weights, {}, {}}, {Role::moment, first, 0, {}}, {Role::second_moment, second, 1, {}}}};
  family.members[0].before = [&](size_t, exact::ChunkCoder&, MutableBytes values, std::vector<uint8_t>&) {
    std::memcpy(values.data(), base.data(), values.size());
  };
  const auto coded = encode({family}, kMild, 1).front();
  std::vector<Floats> out(3, Floats(10));
  std::vector<std::vector<uint8_t>> indices(3, std::vector<uint8_t>(10));
  for (size_t m = 0; m < 3; ++m) {
    const Kind kind = kind_of(family.members[m].role);
    const Table table = parse_table(coded[m], coded[m].size(), 10, "m");
    const auto around = surroundings(0, 0, kind, m == 0 ? std::span<const uint8_t>() : indices[m - 1],
                                     m == 2 ? indices[0] : std::span<const uint8_t>(), {});
    decode_chunk(table, 0, ConstBytes(coded[m]).subspan(table_bytes(10)), around, base, indices[m], out[m], "m");
  }
  EXPECT_EQ(out[0], (Floats{100, 100, 100, 104, 105, 106, 107, 108, 109, 110}));
  EXPECT_EQ(out[1], (Floats{0, 0, 0, 0, 0, 0, 0, 0, -8, 0}));  // the second one's weight did not stay
  Floats expected(10, 0.25f);
  expected[8] = 16;
  EXPECT_EQ(out[2], expected);
  EXPECT_EQ(parse_table(coded[0], coded[0].size(), 10, "m").form, (Form{Kind::differences, 3}));
  EXPECT_EQ(parse_table(coded[1], coded[1].size(), 10, "m").form, (Form{Kind::values, 8}));
}

TEST(Family, OfABaseThatIsNotFiniteHasNoCoding) {
  const Floats weights(200, 1.0f);
  Family family{0, {{Role::weight, weights, {}, {}}}};
  family.members[0].before = [&](size_t, exact::ChunkCoder&, MutableBytes values, std::vector<uint8_t>&) {
    const Floats base(200, std::numeric_limits<float>::infinity());
    std::memcpy(values.data(), base.data(), values.size());
  };
  EXPECT_TRUE(encode({family}, kMild, 1).front().empty());
}

}  // namespace
}  // namespace thinwire::checkpoint::extreme

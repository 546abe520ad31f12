// Steps of exact coding: kernels against the reference, the reference against its definition, packed bits, groups.
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint/exact/groups.h"
#include "checkpoint/exact/kernels.h"
#include "checkpoint/exact/pack.h"
#include "exact_support.h"

namespace thinwire::checkpoint::exact::testing {
namespace {

// Zeros, infinities, NaNs, denormals and their neighbours among random bits.
template <class Word>
std::vector<Word> telling_words(size_t elems, uint64_t seed) {
  const Draw draw(seed);
  std::vector<Word> words(elems);
  for (size_t i = 0; i < elems; ++i) {
    words[i] = static_cast<Word>(draw.bits(i));
    const uint64_t kind = draw.below(elems + i, 8);
    if (kind == 0) words[i] &= kSign<Word>;
    if (kind == 1) words[i] |= static_cast<Word>(~kSign<Word>);
    if (kind == 2) words[i] = static_cast<Word>(words[i] & (kSign<Word> | 0xf));
  }
  return words;
}

template <class Word>
class Kernels : public ::testing::Test {};
using Widths = ::testing::Types<uint8_t, uint16_t, uint32_t, uint64_t>;
TYPED_TEST_SUITE(Kernels, Widths);

constexpr size_t kLengths[] = {0, 1, 3, 31, 32, 33, 255, 1024, 4097};

TYPED_TEST(Kernels, DifferencesAreThoseOfTheReferenceAndComeBack) {
  using Word = TypeParam;
  for (const size_t elems : kLengths) {
    const auto x = telling_words<Word>(elems, 1), earlier = telling_words<Word>(elems, 2);
    for (const Numbers numbers : {Numbers::floats, Numbers::integers}) {
      std::vector<Word> expected(elems), got(elems), back(elems);
      reference::differences<Word>(x, earlier, numbers, expected);
      kernels::differences(std::span<const Word>(x), std::span<const Word>(earlier), numbers, std::span<Word>(got));
      EXPECT_EQ(got, expected);
      kernels::undo_differences(std::span<const Word>(got), std::span<const Word>(earlier), numbers, std::span<Word>(back));
      EXPECT_EQ(back, x);
    }
  }
}

TYPED_TEST(Kernels, ScalingIsThatOfTheReferenceAndComesBack) {
  using Word = TypeParam;
  for (const size_t elems : kLengths) {
    const auto x = telling_words<Word>(elems, 3);
    const auto columns = telling_words<uint16_t>(elems, 4);
    std::vector<Word> expected(elems), got(elems), back(elems);
    reference::scale<Word>(x, 65000, columns.data(), kWordBits<Word> / 2, expected);
    kernels::scale(std::span<const Word>(x), uint16_t{65000}, columns.data(), kWordBits<Word> / 2, std::span<Word>(got));
    EXPECT_EQ(got, expected);
    kernels::undo_scale(std::span<const Word>(got), uint16_t{65000}, columns.data(), kWordBits<Word> / 2, std::span<Word>(back));
    EXPECT_EQ(back, x);
  }
}

TYPED_TEST(Kernels, PlanesAreTheBytesOfRotatedWordsAndComeBack) {
  using Word = TypeParam;
  for (const size_t elems : kLengths) {
    const auto x = telling_words<Word>(elems, 5);
    for (unsigned rotation = 0; rotation < kWordBits<Word>; ++rotation) {
      Bytes expected(elems * sizeof(Word)), got(expected.size());
      const auto offset = static_cast<Word>(kSign<Word> >> rotation);
      reference::split<Word>(x, offset, rotation, expected.data());
      kernels::split(std::span<const Word>(x), offset, rotation, got.data());
      ASSERT_EQ(got, expected);
      std::vector<Word> back(elems), back_by_reference(elems);
      kernels::merge(got.data(), offset, rotation, std::span<Word>(back));
      reference::merge(got.data(), offset, rotation, std::span<Word>(back_by_reference));
      ASSERT_EQ(back, x);
      ASSERT_EQ(back_by_reference, x);
    }
  }
}

// -inf < -1 < the largest negative denormal < -0 < 0 < ... in steps of one where no float lies between.
TEST(Words, OrderedFloatsCountUpwards) {
  const auto place = [](float x) { return ordered(std::bit_cast<uint32_t>(x), Numbers::floats); };
  const float denormal = std::numeric_limits<float>::denorm_min(), inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(place(0.0f) - place(-0.0f), 1u);
  EXPECT_EQ(place(-0.0f) - place(-denormal), 1u);
  EXPECT_EQ(place(std::nextafter(1.0f, 2.0f)) - place(1.0f), 1u);
  EXPECT_EQ(place(inf) - place(std::numeric_limits<float>::max()), 1u);
  EXPECT_LT(place(-inf), place(-1.0f));
  EXPECT_LT(place(-1.0f), place(0.0f));
  for (int i = -3; i <= 3; ++i) {
    EXPECT_EQ(unzigzag(static_cast<uint8_t>(i < 0 ? -2 * i - 1 : 2 * i)), static_cast<uint8_t>(i));
  }
}

// 1 = 3f800000: rotated by one bit 7f000000, by three fc000001.
TEST(Words, PlanesOfOne) {
  const std::vector<uint32_t> one = {std::bit_cast<uint32_t>(1.0f)};
  Bytes planes(4);
  reference::split<uint32_t>(one, 0, 1, planes.data());
  EXPECT_EQ(planes, (Bytes{std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0x7f}}));
  reference::split<uint32_t>(one, 0, 3, planes.data());
  EXPECT_EQ(planes, (Bytes{std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0xfc}}));
}

// Two places nearer to zero is -2, whichever side of it; a rotation by 24 leaves room for 8 bits, whose half is 128: 126 in the highest
// byte.
TEST(Words, DifferencesCountAwayFromZero) {
  for (const float e : {3.0f, -3.0f}) {
    const auto earlier = std::bit_cast<uint32_t>(e), x = earlier - 2;
    EXPECT_EQ(difference(x, earlier, Numbers::floats), static_cast<uint32_t>(-2));
    EXPECT_EQ(later(static_cast<uint32_t>(-2), earlier, Numbers::floats), x);
  }
  EXPECT_EQ(difference(5u, 7u, Numbers::integers), static_cast<uint32_t>(-2));
  const std::vector<uint32_t> minus_two = {static_cast<uint32_t>(-2)};
  Bytes planes(4);
  reference::split<uint32_t>(minus_two, kSign<uint32_t> >> 24, 24, planes.data());
  EXPECT_EQ(planes, (Bytes{std::byte{0}, std::byte{0}, std::byte{0}, std::byte{126}}));
}

TEST(Pack, BitsComeBackInTheBytesThatTheyTake) {
  for (unsigned width = 1; width <= 7; ++width) {
    for (unsigned low = 0; low + width <= 8; ++low) {
      for (const size_t elems : {2, 7, 8, 9, 16, 63, 1000}) {
        Bytes bytes = random_bytes(elems, width * 8 + low);
        const unsigned mask = ((1u << width) - 1) << low;
        for (std::byte& byte : bytes) byte = (byte & std::byte(mask)) | std::byte(0x5a & ~mask);
        bytes[0] &= std::byte(~mask);  // every bit of the field differs somewhere
        bytes[1] |= std::byte(mask);
        const auto packing = find_packing(bytes);
        ASSERT_TRUE(packing && packing->valid());
        EXPECT_EQ(packing->width, width);
        EXPECT_EQ(packing->low, low);
        Bytes packed((elems + 7) / 8 * width + 8), back(elems);
        pack(bytes, *packing, packed.data());
        unpack(ConstBytes(packed).first((elems + 7) / 8 * width), *packing, back);
        ASSERT_EQ(back, bytes) << width << " bits from " << low << ", " << elems << " bytes";
      }
    }
  }
}

// Fields of 3 bits, lowest first: 1, 2, 3, 4, 5, 6, 7, 0 is 001 010 011 100 101 110 111 000 from the right: 000 111 110 101 100 011 010 001
// = 1f58d1.
TEST(Pack, EightFieldsOfThreeBits) {
  Bytes bytes;
  for (const int value : {1, 2, 3, 4, 5, 6, 7, 0}) bytes.push_back(static_cast<std::byte>(value));
  Bytes packed(3 + 8);
  pack(bytes, {0, 0, 3}, packed.data());
  EXPECT_EQ(load_le<uint32_t>(packed.data()) & 0xffffff, 0x1f58d1u);
}

TEST(Groups, TakeEveryElementOnceInOrder) {
  const auto earlier = telling_words<uint32_t>(50000, 6);
  Groups groups(std::span<const uint32_t>(earlier), Numbers::floats);
  const std::vector<uint8_t> last = groups.choose_bounds(kFewestInGroup);
  EXPECT_EQ(last.back(), 255);
  groups.divide(last);
  std::vector<uint32_t> to(earlier.size()), next;
  groups.for_each_place(std::span<const uint32_t>(earlier), Numbers::floats, [&](size_t i, size_t group, size_t place) {
    EXPECT_LE(earlier[i] >> 23 & 0xff, last[group]);
    to[i] = static_cast<uint32_t>(place);
  });
  size_t elems = 0;
  for (size_t g = 0; g < last.size(); ++g) {
    EXPECT_GE(groups.elems(g), kFewestInGroup);
    EXPECT_EQ(groups.begin(g), elems);
    next.push_back(static_cast<uint32_t>(elems));
    elems += groups.elems(g);
  }
  EXPECT_EQ(elems, earlier.size());
  for (size_t i = 0; i < earlier.size(); ++i) {
    const size_t exponent = earlier[i] >> 23 & 0xff;
    const size_t group = static_cast<size_t>(std::ranges::lower_bound(last, exponent) - last.begin());
    ASSERT_EQ(to[i], next[group]++);
  }
}

}  // namespace
}  // namespace thinwire::checkpoint::exact::testing

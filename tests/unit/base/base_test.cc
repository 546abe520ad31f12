#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/draw.h"
#include "base/dtype.h"
#include "base/hash.h"
#include "base/text.h"

namespace thinwire {
namespace {

// RFC 3720, B.4, and the check value of the catalogue of CRC algorithms.
TEST(Crc32c, MatchesThePublishedVectors) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62a8ab43u);
  EXPECT_EQ(crc32c({}), 0u);
}

// Known answers of the Random123 distribution (kat_vectors) for philox4x32-10.
TEST(Draw, PhiloxMatchesThePublishedVectors) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Draw, IsAFunctionOfSeedStreamAndIndex) {
  const Draw draw(7);
  EXPECT_EQ(draw.bits(3), Draw(7).bits(3));
  EXPECT_NE(draw.bits(3), draw.bits(4));
  EXPECT_NE(draw.bits(3), Draw(8).bits(3));
  EXPECT_NE(draw.fork("a").bits(3), draw.fork("b").bits(3));
  EXPECT_NE(draw.fork(1).bits(3), draw.fork(2).bits(3));
}

TEST(Draw, NormalHasMeanZeroAndVarianceOne) {
  const Draw draw(1);
  double sum = 0, squares = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = draw.normal(static_cast<uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 5 / std::sqrt(kDraws));  // five standard errors
  EXPECT_NEAR(squares / kDraws, 1.0, 5 * std::sqrt(2.0 / kDraws));
}

TEST(DType, F16CastsEveryHalfBackToItself) {
  for (uint32_t half = 0; half <= 0xffff; ++half) {
    const float value = from_f16(static_cast<uint16_t>(half));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_f16(to_f16(value))));
    } else {
      ASSERT_EQ(to_f16(value), half) << value;
    }
  }
}

TEST(DType, F16RoundsHalfwayCasesToEven) {
  EXPECT_EQ(to_f16(1.0f + 0x1p-11f), 0x3c00);  // halfway between 1 and 1 + 2^-10: to even
  EXPECT_EQ(to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(to_f16(0x1p-25f), 0x0000);  // half of the smallest subnormal: to even
  EXPECT_EQ(to_f16(3 * 0x1p-25f), 0x0002);
  EXPECT_EQ(to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(to_f16_saturating(1e9f), 0x7bff);
  EXPECT_EQ(to_f16_saturating(-std::numeric_limits<float>::infinity()), 0xfbff);
}

TEST(DType, Bf16RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Hash, MatchesThePublishedEmptyDigest) {
  EXPECT_EQ(hash64(std::string_view()), 0x2d06800538d394c2u);  // XXH3_64bits of nothing, seed 0 (xxHash sanity tests)
}

TEST(Hash, StreamingEqualsOneShot) {
  StreamingHash streaming;
  streaming.update(bytes_of(std::string_view("thin")));
  streaming.update(bytes_of(std::string_view("wire")));
  EXPECT_EQ(streaming.digest(), hash64("thinwire"));
}

TEST(Bytes, ReaderNamesTheFieldThatDoesNotFit) {
  const std::array<std::byte, 3> bytes{};
  ByteReader reader(bytes, "payload of rank 2");
  reader.read<uint16_t>("version");
  try {
    reader.read<uint32_t>("length");
    FAIL() << "read past the end";
  } catch (const CorruptData& e) {
    EXPECT_STREQ(e.what(), "payload of rank 2: 'length' needs 4 bytes at offset 2, but only 1 are left");
  }
}

TEST(Bytes, WriterRefusesToOverrun) {
  std::array<std::byte, 3> bytes{};
  ByteWriter writer(bytes);
  writer.write<uint16_t>(1);
  EXPECT_THROW(writer.write<uint16_t>(1), BrokenInvariant);
}

TEST(Text, SuggestsTheNearestNameAndNothingFar) {
  const std::vector<std::string> names = {"topk", "quantize", "learning_rate"};
  EXPECT_EQ(nearest("tokp", names), "topk");
  EXPECT_EQ(nearest("quantise", names), "quantize");
  EXPECT_EQ(nearest("powersgd", names), "");
  EXPECT_EQ(did_you_mean("topkk", names), " (did you mean 'topk'?)");
}

TEST(Text, GlobMatchesWholeNames) {
  EXPECT_TRUE(glob_match("*.embed_tokens.*", "model.embed_tokens.weight"));
  EXPECT_TRUE(glob_match("*norm*", "model.norm.weight"));
  EXPECT_TRUE(glob_match("model.layers.?.mlp*weight", "model.layers.3.mlp.up_proj.weight"));
  EXPECT_FALSE(glob_match("embed_tokens", "model.embed_tokens.weight"));
  EXPECT_FALSE(glob_match("*.bias", "model.norm.weight"));
}

TEST(Text, FormatsForPeople) {
  EXPECT_EQ(with_thousands(41220), "41,220");
  EXPECT_EQ(with_thousands(-1234567), "-1,234,567");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(human_bytes(310000), "0.31MB");
}

TEST(Check, NamesItsCaller) {
  check(true, "what holds");
  const int line = __LINE__ + 2;
  try {
    check(false, "1 + 1 = 3");
    FAIL() << "a broken invariant went unnoticed";
  } catch (const BrokenInvariant& error) {
    const std::string what = error.what();
    EXPECT_TRUE(what.starts_with("internal error: 1 + 1 = 3 does not hold at ")) << what;
    EXPECT_NE(what.find("base_test.cc:" + std::to_string(line) + " in TestBody"), std::string::npos) << what;
  }
}

}  // namespace
}  // namespace thinwire

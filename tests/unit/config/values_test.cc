#include "config/values.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/draw.h"
#include "base/error.h"

namespace thinwire::config {
namespace {

TEST(Values, IntegersAreWholeTexts) {
  EXPECT_EQ(parse_integer("0"), 0);
  EXPECT_EQ(parse_integer("-3"), -3);
  EXPECT_EQ(parse_integer("+7"), 7);
  EXPECT_EQ(parse_integer("1e6"), 1'000'000);
  EXPECT_EQ(parse_integer("25E+3"), 25'000);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(parse_integer("-9223372036854775808"), INT64_MIN);
  for (const char* bad :
       {"", " 1", "1 ", "1.0", "2.0e3", "1e-1", "0x10", "1_000", "9223372036854775808", "1e19", "--1", "+-1", "e5", "1e", "auto"}) {
    EXPECT_EQ(parse_integer(bad), std::nullopt) << bad;
  }
}

TEST(Values, RealsAreFiniteAndWholeTexts) {
  EXPECT_EQ(parse_real("2.0e-3"), 0.002);
  EXPECT_EQ(parse_real("+.5"), 0.5);
  EXPECT_EQ(parse_real("1E3"), 1000.0);
  for (const char* bad : {"", "nan", "inf", "-inf", ".inf", "1e400", "0x1p3", "1,5", "1.5f", "1e", "1 ", "1e99999999999"}) {
    EXPECT_EQ(parse_real(bad), std::nullopt) << bad;
  }
}

TEST(Values, APercentIsTheDecimalNumberDividedByAHundred) {
  EXPECT_EQ(parse_fraction("6.25%"), 0.0625);
  EXPECT_EQ(parse_fraction("6.1%"), 0.061);  // 6.1 / 100 in doubles would be the neighbour
  EXPECT_EQ(parse_fraction("1e1%"), 0.1);
  EXPECT_EQ(parse_fraction("0.05"), 0.05);
  EXPECT_EQ(parse_fraction("%"), std::nullopt);
  EXPECT_EQ(parse_fraction("5 %"), std::nullopt);
}

TEST(Values, BytesKnowPowersOfTenAndOfTwo) {
  EXPECT_EQ(parse_bytes("17"), 17);
  EXPECT_EQ(parse_bytes("17B"), 17);
  EXPECT_EQ(parse_bytes("3kB"), 3'000);
  EXPECT_EQ(parse_bytes("3KB"), 3'000);
  EXPECT_EQ(parse_bytes("4MB"), 4'000'000);
  EXPECT_EQ(parse_bytes("4.35MB"), 4'350'000);
  EXPECT_EQ(parse_bytes("2GB"), 2'000'000'000);
  EXPECT_EQ(parse_bytes("3KiB"), 3 * 1024);
  EXPECT_EQ(parse_bytes("1.5MiB"), 3 * 512 * 1024);
  EXPECT_EQ(parse_bytes("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(parse_bytes("9007199254740993"), 9007199254740993);
  for (const char* bad : {"", "MB", "4 MB", "4mb", "4M", "0.5B", "0.1KiB", "1.0001kB", "9223372036854775807kB", "1e30GB", "4MBB"}) {
    EXPECT_EQ(parse_bytes(bad), std::nullopt) << bad;
  }
}

TEST(Values, SecondsKnowTheirUnits) {
  EXPECT_EQ(parse_seconds("60"), 60.0);
  EXPECT_EQ(parse_seconds("60s"), 60.0);
  EXPECT_EQ(parse_seconds("500ms"), 0.5);
  EXPECT_EQ(parse_seconds("0.1ms"), 0.0001);
  EXPECT_EQ(parse_seconds("5m"), 5 * 60.0);
  EXPECT_EQ(parse_seconds("1.5h"), 1.5 * 3600);
  for (const char* bad : {"", "s", "ms", "m", "1d", "1 s", "nans", "1e308h"}) EXPECT_EQ(parse_seconds(bad), std::nullopt) << bad;
}

TEST(Values, AmountsAreSharesStepsOrTokens) {
  EXPECT_EQ(parse_amount("10%"), (Amount{Amount::Unit::fraction, 0.1}));
  EXPECT_EQ(parse_amount("200steps"), (Amount{Amount::Unit::steps, 200}));
  EXPECT_EQ(parse_amount("200"), (Amount{Amount::Unit::steps, 200}));
  EXPECT_EQ(parse_amount("1e9tok"), (Amount{Amount::Unit::tokens, 1e9}));
  EXPECT_EQ(parse_amount("1.5e9tok"), (Amount{Amount::Unit::tokens, 1.5e9}));
  for (const char* bad : {"", "0.1", "-1", "101%", "-1%", "1.5steps", "steps", "200 steps", "1tokens", "1e20tok"}) {
    EXPECT_EQ(parse_amount(bad), std::nullopt) << bad;
  }
}

TEST(Values, AnAmountBecomesTheNearestNumberOfSteps) {
  EXPECT_EQ((Amount{Amount::Unit::steps, 200}).to_steps(300, 2048), 200);
  EXPECT_EQ((Amount{Amount::Unit::fraction, 0.1}).to_steps(304, 2048), 30);  // 30.4
  EXPECT_EQ((Amount{Amount::Unit::fraction, 0.1}).to_steps(306, 2048), 31);  // 30.6
  EXPECT_EQ((Amount{Amount::Unit::tokens, 1e6}).to_steps(300, 2048), 488);   // 488.28
  EXPECT_EQ((Amount{Amount::Unit::steps, -5}).to_steps(300, 2048), 0);
}

TEST(Values, PrintsUnitsThatPeopleRead) {
  EXPECT_EQ(print_fraction(0.0625), "6.25%");
  EXPECT_EQ(print_fraction(0.061), "6.1%");
  EXPECT_EQ(print_bytes(4'000'000), "4MB");
  EXPECT_EQ(print_bytes(4 * 1024 * 1024), "4MiB");
  EXPECT_EQ(print_bytes(12'345), "12345");
  EXPECT_EQ(print_bytes(0), "0");
  EXPECT_EQ(print_seconds(60), "60s");
  EXPECT_EQ(print_seconds(0.5), "500ms");
  EXPECT_EQ(print_amount({Amount::Unit::fraction, 0.1}), "10%");
  EXPECT_EQ(print_amount({Amount::Unit::steps, 200}), "200steps");
  EXPECT_EQ(print_real(0.002), "0.002");
  EXPECT_EQ(print_real(2e-5), "2.0e-05");
}

// Any double, from its bits: every magnitude is met, subnormals too.
TEST(Values, EveryPrintedValueParsesToTheSameBits) {
  const Draw draw(7);
  for (uint64_t i = 0; i < 20'000; ++i) {
    const auto any = std::bit_cast<double>(draw.fork("any").bits(i));
    const double share = draw.fork("share").uniform(i) * std::pow(10.0, -static_cast<double>(i % 12));
    for (const double value : {any, share, std::round(share * 1e6) / 1e6}) {
      if (!std::isfinite(value)) continue;
      ASSERT_EQ(parse_real(print_real(value)), value);
      ASSERT_EQ(parse_fraction(print_fraction(value)), value);
      ASSERT_EQ(parse_seconds(print_seconds(value)), value);
    }
    const Amount amount{Amount::Unit::fraction, share};
    ASSERT_EQ(parse_amount(print_amount(amount)), amount) << print_amount(amount);
    const auto num_bytes = static_cast<int64_t>(draw.fork("bytes").bits(i) >> (i % 64)) / (i % 3 == 0 ? 1000 : 1) * (i % 3 == 0 ? 1000 : 1);
    ASSERT_EQ(parse_bytes(print_bytes(num_bytes)), num_bytes);
  }
}

}  // namespace
}  // namespace thinwire::config

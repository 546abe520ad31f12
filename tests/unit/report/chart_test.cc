#include "report/chart.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thinwire::report {
namespace {

TEST(Ticks, AreRoundAndNotTooMany) {
  EXPECT_EQ(ticks(0, 300, 6), (std::vector<double>{0, 50, 100, 150, 200, 250, 300}));
  EXPECT_EQ(ticks(1.3, 3.6, 6), (std::vector<double>{1.5, 2, 2.5, 3, 3.5}));
  EXPECT_TRUE(ticks(1, 1, 6).empty());
  EXPECT_TRUE(ticks(2, 1, 6).empty());
}

TEST(Ticks, ZeroHasNoSign) { EXPECT_FALSE(std::signbit(ticks(0, 10, 5).front())); }

TEST(Units, AreShort) {
  EXPECT_EQ(with_unit(0, Unit::bytes), "0B");
  EXPECT_EQ(with_unit(1.5e6, Unit::bytes), "1.5MB");
  EXPECT_EQ(with_unit(0.0035, Unit::seconds), "3.5ms");
  EXPECT_EQ(with_unit(90, Unit::seconds), "90s");
  EXPECT_EQ(with_unit(600, Unit::seconds), "10m");
  EXPECT_EQ(with_unit(7200, Unit::seconds), "2h");
  EXPECT_EQ(with_unit(300, Unit::plain), "300");
  EXPECT_EQ(with_unit(20000, Unit::plain), "20k");
}

TEST(LineChart, LeavesOutWhatCannotBeDrawn) {
  const Series series{"a<b", 1, Series::Style::dotted_points, {{1, 2}, {2, NAN}, {3, INFINITY}, {4, 0}, {5, 3}}};
  const std::string svg = line_chart({.id = "c", .title = "t", .log_y = true}, {series});
  for (const char* word : {"\"nan", "\"inf", " nan", " inf", "Lnan", "Linf", "Mnan", ">nan", ">inf"}) {
    EXPECT_EQ(svg.find(word), std::string::npos) << word;
  }
  size_t circles = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) ++circles;
  EXPECT_EQ(circles, 2u);
  EXPECT_NE(svg.find("a&lt;b"), std::string::npos);
}

TEST(LineChart, OfNothingIsStillAFrame) {
  const std::string svg = line_chart({.id = "c", .title = "t"}, {});
  EXPECT_TRUE(svg.starts_with("<svg"));
  EXPECT_TRUE(svg.ends_with("</svg>"));
}

TEST(LineChart, KeepsTheLastOfManyPoints) {
  Series series{"s", 0, Series::Style::line, {}};
  for (int i = 0; i <= 10000; ++i) series.points.push_back({static_cast<double>(i), static_cast<double>(i)});
  const std::string svg = line_chart({.id = "c", .title = "t"}, {series});
  EXPECT_LT(svg.size(), 20000u);
  // The last point is at the right end of the x axis, which the axis line names: both have the same abscissa.
  const size_t axis = svg.find("class=\"axis\"");
  const std::string right = svg.substr(svg.find("x2=\"", axis) + 4, 3);
  EXPECT_NE(svg.find("L" + right + ".0 "), std::string::npos);
}

}  // namespace
}  // namespace thinwire::report

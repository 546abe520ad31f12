// A line chart as an inline SVG, for a page without scripts. Colours are classes of the page (series-0, series-1, ...; page.cc).
#pragma once
#include <string>
#include <vector>

namespace thinwire::report {

inline constexpr int kNumColours = 8;

struct ChartPoint {
  double x = 0, y = 0;
};

struct Series {
  std::string name;
  int colour = 0;
  enum class Style { line, faint, dashed, dotted_points } style = Style::line;  // dotted_points: a dot at each point, with its figures
  std::vector<ChartPoint> points;                                               // by x
};

enum class Unit { plain, bytes, seconds };

struct ChartOptions {
  std::string id = {};  // unique on the page
  std::string title = {}, x_label = {}, y_label = {};
  Unit x_unit = Unit::plain, y_unit = Unit::plain;
  bool log_y = false;               // points that are not positive are left out
  bool cuts_off_the_start = false;  // the y range is that of what comes after the first 3 % of the x range: losses fall steeply at first
};

std::string line_chart(const ChartOptions& options, const std::vector<Series>& series);

// At most `most` values in [from, to] that are 1, 2 or 5 times a power of ten apart.
std::vector<double> ticks(double from, double to, int most);

std::string with_unit(double value, Unit unit);  // "1.2MB", "3m", "20k"

}  // namespace thinwire::report

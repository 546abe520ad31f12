#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "report/html.h"

namespace thinwire::report {

namespace {

constexpr double kWidth = 720, kHeight = 380, kLeft = 78, kRight = 28, kTop = 40, kBottom = 62;
constexpr double kDot = 5;           // a point's radius, with its rim
constexpr size_t kMostPoints = 600;  // of a series; more are not to be told apart
constexpr double kSteepShare = 0.03;

struct Range {
  double from = 0, to = 1;
  bool is_log = false;
  double place(double value) const {  // [0, 1] within the range
    return is_log ? (std::log10(value) - std::log10(from)) / (std::log10(to) - std::log10(from)) : (value - from) / (to - from);
  }
};

class Frame {
 public:
  Frame(Range x, Range y) : x_(x), y_(y) {}
  double x(double value) const { return kLeft + x_.place(value) * (kWidth - kLeft - kRight); }
  double y(double value) const { return kHeight - kBottom - y_.place(value) * (kHeight - kTop - kBottom); }

 private:
  Range x_, y_;
};

bool is_drawn(const ChartPoint& p, bool log_y) { return std::isfinite(p.x) && std::isfinite(p.y) && (!log_y || p.y > 0); }

Range x_range(const std::vector<Series>& series) {
  Range range{0, 0};
  for (const auto& s : series) {
    for (const auto& p : s.points) {
      if (std::isfinite(p.x)) range.to = std::max(range.to, p.x);
    }
  }
  if (range.to <= 0) range.to = 1;
  return range;
}

Range y_range(const std::vector<Series>& series, const ChartOptions& options, double x_to) {
  double low = INFINITY, high = -INFINITY;
  const auto take = [&](double from_x) {
    for (const auto& s : series) {
      for (const auto& p : s.points) {
        if (!is_drawn(p, options.log_y) || p.x < from_x) continue;
        low = std::min(low, p.y);
        high = std::max(high, p.y);
      }
    }
  };
  take(options.cuts_off_the_start ? kSteepShare * x_to : 0);
  if (low > high) take(0);
  if (low > high) return {0, 1, false};
  if (options.log_y) return {low == high ? low / 2 : low / 1.2, high == low ? high * 2 : high * 1.2, true};
  const double pad = high > low ? 0.05 * (high - low) : std::max(0.5, std::abs(high) / 2);
  return {low - pad, high + pad, false};
}

std::vector<double> log_ticks(const Range& range) {
  std::vector<double> values;
  const int first = static_cast<int>(std::ceil(std::log10(range.from))), last = static_cast<int>(std::floor(std::log10(range.to)));
  const int apart = std::max(1, (last - first + 5) / 6);
  for (int e = first; e <= last; e += apart) values.push_back(std::pow(10.0, e));
  return values.size() > 1 ? values : ticks(range.from, range.to, 5);
}

std::string axes(const ChartOptions& o, const Range& x, const Range& y, const Frame& frame) {
  std::string svg;
  for (const double value : y.is_log ? log_ticks(y) : ticks(y.from, y.to, 6)) {
    const double at = frame.y(value);
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight, at, at);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\" dominant-baseline=\"middle\">{}</text>", kLeft - 8,
                       at, with_unit(value, o.y_unit));
  }
  for (const double value : ticks(x.from, x.to, 6)) {
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", frame.x(value),
                       kHeight - kBottom + 24, with_unit(value, o.x_unit));
  }
  svg += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", kLeft, kWidth - kRight, kHeight - kBottom,
                     kHeight - kBottom);
  svg += fmt::format("<text class=\"label\" x=\"{:.0f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", (kLeft + kWidth - kRight) / 2,
                     kHeight - 8, escape(o.x_label));
  svg += fmt::format("<text class=\"label\" x=\"4\" y=\"20\">{}</text>", escape(o.y_label));
  return svg;
}

std::string path(const Series& series, const Frame& frame, bool log_y) {
  const size_t every = std::max<size_t>(1, (series.points.size() + kMostPoints - 1) / kMostPoints);
  std::string d;
  for (size_t i = 0; i < series.points.size(); ++i) {
    const auto& p = series.points[i];
    if ((i % every != 0 && i + 1 != series.points.size()) || !is_drawn(p, log_y)) continue;
    d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? 'M' : 'L', frame.x(p.x), frame.y(p.y));
  }
  const char* style = series.style == Series::Style::faint ? " faint" : series.style == Series::Style::dashed ? " dashed" : "";
  return fmt::format("<path class=\"series-{}{}\" d=\"{}\"/>", series.colour, style, d);
}

std::string dots(const Series& series, const Frame& frame, const ChartOptions& o) {
  std::string svg;
  for (const auto& p : series.points) {
    if (!is_drawn(p, o.log_y)) continue;
    svg += fmt::format("<circle class=\"series-{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}: {} at {}</title></circle>",
                       series.colour, frame.x(p.x), frame.y(p.y), escape(series.name), with_unit(p.y, o.y_unit), with_unit(p.x, o.x_unit));
  }
  return svg;
}

}  // namespace

std::string with_unit(double value, Unit unit) {
  const double size = std::abs(value);
  if (unit == Unit::seconds) {
    if (size < 5e-6) return "0";
    if (size < 1) return fmt::format("{:.3g}ms", value * 1e3);
    if (size < 120) return fmt::format("{:.3g}s", value);
    return size < 7200 ? fmt::format("{:.3g}m", value / 60) : fmt::format("{:.3g}h", value / 3600);
  }
  static constexpr std::pair<double, const char*> kPrefixes[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  const char* suffix = unit == Unit::bytes ? "B" : "";
  for (const auto& [factor, prefix] : kPrefixes) {
    if (size >= (unit == Unit::bytes ? factor : 10 * factor)) return fmt::format("{:.3g}{}{}", value / factor, prefix, suffix);
  }
  return fmt::format("{:.4g}{}", value, suffix);
}

std::vector<double> ticks(double from, double to, int most) {
  if (!(to > from) || most < 1) return {};
  const double least = (to - from) / most, power = std::pow(10.0, std::floor(std::log10(least)));
  double apart = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least) {
      apart = factor * power;
      break;
    }
  }
  std::vector<double> values;
  for (double i = std::ceil(from / apart - 1e-9); i * apart <= to + 1e-9 * apart; ++i) values.push_back(i * apart + 0.0);  // no -0
  return values;
}

std::string line_chart(const ChartOptions& options, const std::vector<Series>& series) {
  const Range x = x_range(series), y = y_range(series, options, x.to);
  const Frame frame(x, y);
  const std::string clip = options.id + "-clip";
  std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kWidth, kHeight, escape(options.title));
  svg += fmt::format("<clipPath id=\"{}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>", clip, kLeft - kDot, kTop - kDot,
                     kWidth - kLeft - kRight + 2 * kDot, kHeight - kTop - kBottom + 2 * kDot);
  svg += axes(options, x, y, frame);
  svg += fmt::format("<g clip-path=\"url(#{})\">", clip);
  for (const auto& s : series) {
    svg += path(s, frame, options.log_y);
    if (s.style == Series::Style::dotted_points) svg += dots(s, frame, options);
  }
  return svg + "</g></svg>";
}

}  // namespace thinwire::report

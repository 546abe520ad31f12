#include "compressors/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"

namespace thinwire::compressors {

namespace {

constexpr std::string_view kTitle = "thinwire plan 1";

// Fields of one line, taken off from the front.
class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}
  std::string text() {
    if (done_) throw CorruptData("plan: a line ends early");
    const size_t tab = std::min(rest_.find('\t'), rest_.size());
    const std::string field(rest_.substr(0, tab));
    done_ = tab == rest_.size();
    rest_.remove_prefix(done_ ? tab : tab + 1);
    return field;
  }
  template <class T>
  T number() {
    const std::string field = text();
    T value{};
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size()) throw CorruptData("plan: '" + field + "' is not a number");
    return value;
  }
  void end() const {
    if (!done_) throw CorruptData("plan: a line has too many fields");
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

std::string line_of(const PlannedLayer& l) {
  check((l.name + l.choice + l.why_dense).find_first_of("\t\n") == std::string::npos, "texts of a plan hold no tab and no line break");
  return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", l.name, l.rows, l.cols, l.choice, l.squared_error, l.squared_norm,
                     l.payload_bytes, l.wire_bytes, l.why_dense);
}

PlannedLayer parse_layer(std::string_view line) {
  Fields fields(line);
  PlannedLayer layer;
  layer.name = fields.text();
  layer.rows = fields.number<int64_t>();
  layer.cols = fields.number<int64_t>();
  layer.choice = fields.text();
  layer.squared_error = fields.number<double>();
  layer.squared_norm = fields.number<double>();
  layer.payload_bytes = fields.number<double>();
  layer.wire_bytes = fields.number<double>();
  layer.why_dense = fields.text();
  fields.end();
  return layer;
}

// Cells aligned in columns; numbers to the right.
std::string aligned(const std::vector<std::vector<std::string>>& lines, std::string_view alignment) {
  std::vector<size_t> widths(alignment.size(), 0);
  for (const auto& line : lines) {
    for (size_t c = 0; c < widths.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (size_t c = 0; c < widths.size(); ++c) {
      row += alignment[c] == '<' ? fmt::format("{:<{}}  ", line[c], widths[c]) : fmt::format("{:>{}}  ", line[c], widths[c]);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + '\n';
  }
  return text;
}

std::string ratio_text(double dense_bytes, double payload_bytes) {
  return payload_bytes > 0 ? fmt::format("{:.1f}", dense_bytes / payload_bytes) : "-";
}

// Layers with nothing to choose are not measured.
std::string error_text(double squared_error, double squared_norm) {
  return squared_norm > 0 ? fmt::format("{:.2f}%", 100 * std::sqrt(squared_error / squared_norm)) : "-";
}

}  // namespace

std::string to_text(const Plan& plan) {
  std::string text = fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", kTitle, plan.version, plan.error, plan.budget, plan.cost,
                                 plan.reference_cost, plan.bound);
  for (const PlannedLayer& layer : plan.layers) text += line_of(layer);
  return text;
}

Plan parse_plan(std::string_view text) {
  const auto next_line = [&text] {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) throw CorruptData("plan: the last line is cut");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    return line;
  };
  Fields head(next_line());
  if (head.text() != kTitle) throw CorruptData("plan: does not begin with '" + std::string(kTitle) + "'");
  Plan plan;
  plan.version = head.number<uint64_t>();
  for (double* value : {&plan.error, &plan.budget, &plan.cost, &plan.reference_cost, &plan.bound}) *value = head.number<double>();
  head.end();
  while (!text.empty()) plan.layers.push_back(parse_layer(next_line()));
  return plan;
}

uint64_t hash(const Plan& plan) { return hash64(to_text(plan)); }

std::string format_table(const Plan& plan) {
  std::vector<std::vector<std::string>> lines{{"layer", "shape", "choice", "error", "bytes", "ratio", "why not compressed"}};
  double elems = 0, bytes = 0, squared_error = 0, squared_norm = 0;
  for (const PlannedLayer& l : plan.layers) {
    const double dense_bytes = 4.0 * static_cast<double>(l.rows) * static_cast<double>(l.cols);
    lines.push_back({l.name, fmt::format("{}x{}", l.rows, l.cols), l.choice, error_text(l.squared_error, l.squared_norm),
                     with_thousands(static_cast<int64_t>(l.payload_bytes)), ratio_text(dense_bytes, l.payload_bytes), l.why_dense});
    elems += dense_bytes / 4;
    bytes += l.payload_bytes;
    squared_error += l.squared_error;
    squared_norm += l.squared_norm;
  }
  lines.push_back({fmt::format("{} layers", plan.layers.size()), with_thousands(static_cast<int64_t>(elems)), "",
                   error_text(squared_error, squared_norm), with_thousands(static_cast<int64_t>(bytes)), ratio_text(4 * elems, bytes), ""});
  std::string text = fmt::format("plan {} ({})\n", plan.version, to_hex(hash(plan))) + aligned(lines, "<<<>>><");
  if (plan.reference_cost > 0) {
    text +=
        fmt::format("cost {:.3f} of the reference's; no plan within the budget costs less than {:.3f}; error {:.3f} of the budget\n",
                    plan.cost / plan.reference_cost, plan.bound / plan.reference_cost, plan.budget > 0 ? plan.error / plan.budget : 0.0);
  }
  return text;
}

}  // namespace thinwire::compressors

#include "config/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/text.h"

namespace thinwire::config {

void Report::add(const Place& place, const std::string& path, std::string text) {
  for (std::string hit = path; hit_paths_.insert(hit).second && !hit.empty();) {
    const size_t end = hit.find_last_of(".[");
    hit.resize(end == hit.npos ? 0 : end);
  }
  if (is_full()) {
    ++num_unshown_;
    return;
  }
  errors_.push_back({place, std::move(text)});
}

std::string Report::line_of(const Entry& entry) const {
  if (entry.place.source == SIZE_MAX) return entry.text;
  const std::string& source = source_names_[entry.place.source];
  if (entry.place.line == 0) return fmt::format("{}: {}", source, entry.text);
  return fmt::format("{}:{}:{}: {}", source, entry.place.line, entry.place.column, entry.text);
}

std::vector<std::string> Report::lines() {
  std::ranges::stable_sort(errors_, {},
                           [](const Entry& entry) { return std::tuple(entry.place.source, entry.place.line, entry.place.column); });
  std::vector<std::string> lines;
  for (const auto& entry : errors_) {
    // Names and values are foreign: an error stays on its line and sends nothing to the terminal.
    std::ranges::replace_if(
        lines.emplace_back(line_of(entry)), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  }
  if (num_unshown_ > 0) lines.push_back(fmt::format("... and {} more", num_unshown_));
  return lines;
}

void Report::throw_if_any() {
  if (!errors_.empty()) throw ConfigError(join(lines(), "\n"));
}

}  // namespace thinwire::config

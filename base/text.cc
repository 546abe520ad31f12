#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinwire {

namespace {
// Optimal string alignment distance: insertions, deletions, substitutions, swaps of neighbours.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> two_back(b.size() + 1), back(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) back[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({back[j] + 1, row[j - 1] + 1, back[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], two_back[j - 2] + 1);
    }
    std::swap(two_back, back);
    std::swap(back, row);
  }
  return back[b.size()];
}
}  // namespace

std::string nearest(std::string_view name, std::span<const std::string> candidates) {
  std::string best;
  size_t best_edits = SIZE_MAX;
  for (const auto& candidate : candidates) {
    const size_t distance = edits(name, candidate);
    if (distance < best_edits && distance <= std::max<size_t>(1, std::max(candidate.size(), name.size()) / 3)) {
      best = candidate;
      best_edits = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view name, std::span<const std::string> candidates) {
  const std::string best = nearest(name, candidates);
  return best.empty() ? "" : fmt::format(" (did you mean '{}'?)", best);
}

bool glob_match(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*') {
      ++p, ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string_view::npos) {  // let the last star swallow one character more
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string join(std::span<const std::string> parts, std::string_view separator) { return fmt::format("{}", fmt::join(parts, separator)); }

std::string with_thousands(int64_t value) {
  std::string digits = std::to_string(value < 0 ? -value : value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), 1, ',');
  return value < 0 ? "-" + digits : digits;
}

std::string human_bytes(double num_bytes) {
  if (num_bytes >= 1e11) return fmt::format("{:.0f}GB", num_bytes / 1e9);
  if (num_bytes >= 1e9) return fmt::format("{:.2f}GB", num_bytes / 1e9);
  if (num_bytes >= 1e5) return fmt::format("{:.2f}MB", num_bytes / 1e6);
  if (num_bytes >= 1e3) return fmt::format("{:.1f}kB", num_bytes / 1e3);
  return fmt::format("{:.0f}B", num_bytes);
}

}  // namespace thinwire

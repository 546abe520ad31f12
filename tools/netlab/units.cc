#include "tools/netlab/units.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "config/values.h"

namespace thinwire::netlab {

namespace {
struct RateUnit {
  std::string_view name;
  double bits_per_s;
};
constexpr std::array<RateUnit, 4> kRateUnits{{{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}};  // "bit" ends the others too
}  // namespace

std::optional<double> parse_rate(std::string_view text) {
  if (text.ends_with("/s")) text.remove_suffix(2);
  for (const auto& unit : kRateUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto count = config::parse_real(text.substr(0, text.size() - unit.name.size()));
    if (!count || *count <= 0 || !std::isfinite(*count * unit.bits_per_s)) return std::nullopt;
    return *count * unit.bits_per_s;
  }
  return std::nullopt;
}

std::string print_rate(double bits_per_s) {
  for (const auto& unit : kRateUnits) {
    if (bits_per_s >= unit.bits_per_s) return fmt::format("{:.4g} {}/s", bits_per_s / unit.bits_per_s, unit.name);
  }
  return fmt::format("{:.4g} bit/s", bits_per_s);
}

std::optional<Cut> parse_cut(std::string_view text) {
  const size_t at = text.find('@'), colon = text.find(':');
  if (at == text.npos || colon == text.npos || colon < at) return std::nullopt;
  const auto host = config::parse_integer(text.substr(0, at));
  const auto at_s = config::parse_seconds(text.substr(at + 1, colon - at - 1)), for_s = config::parse_seconds(text.substr(colon + 1));
  if (!host || *host < 0 || *host > std::numeric_limits<int>::max() || !at_s || *at_s < 0 || !for_s || *for_s <= 0) return std::nullopt;
  return Cut{static_cast<int>(*host), *at_s, *for_s};
}

}  // namespace thinwire::netlab

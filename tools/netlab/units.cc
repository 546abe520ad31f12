#include "tools/netlab/units.h"

#include <limits>

#include "config/values.h"

namespace thinwire::netlab {

std::optional<Cut> parse_cut(std::string_view text) {
  const size_t at = text.find('@'), colon = text.find(':');
  if (at == text.npos || colon == text.npos || colon < at) return std::nullopt;
  const auto host = config::parse_integer(text.substr(0, at));
  const auto at_s = config::parse_seconds(text.substr(at + 1, colon - at - 1)), for_s = config::parse_seconds(text.substr(colon + 1));
  if (!host || *host < 0 || *host > std::numeric_limits<int>::max() || !at_s || *at_s < 0 || !for_s || *for_s <= 0) return std::nullopt;
  return Cut{static_cast<int>(*host), *at_s, *for_s};
}

}  // namespace thinwire::netlab

// What the command line of netlab writes in its own units: cuts. Rates, sizes, times and fractions are read as in a configuration
// (config/values.h). Like there: the whole text or nothing.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace thinwire::netlab {

// A host that nobody reaches for a while.
struct Cut {
  int host = 0;
  double at_s = 0, for_s = 0;  // from the start of the command
  bool operator==(const Cut&) const = default;
};
std::optional<Cut> parse_cut(std::string_view text);  // HOST@AT:FOR, as in "1@5s:300ms"

}  // namespace thinwire::netlab

// What the command line of netlab writes in its own units: rates and cuts. Sizes, times and fractions are read as in a configuration
// (config/values.h). Like there: the whole text or nothing.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace thinwire::netlab {

// "10kbit", "200Mbit", "1.5Gbit/s": bits per second, powers of ten. A number without a unit says neither bits nor bytes and is refused.
std::optional<double> parse_rate(std::string_view text);
std::string print_rate(double bits_per_s);  // "200 Mbit/s"

// A host that nobody reaches for a while.
struct Cut {
  int host = 0;
  double at_s = 0, for_s = 0;  // from the start of the command
  bool operator==(const Cut&) const = default;
};
std::optional<Cut> parse_cut(std::string_view text);  // HOST@AT:FOR, as in "1@5s:300ms"

}  // namespace thinwire::netlab

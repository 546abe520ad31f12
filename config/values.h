// Scalar values as people write them: "6.25%", "4MiB", "500ms", "200steps". Every printed text parses back to the identical value.
//
// The parsers take the whole text or nothing: no surrounding blanks, no "nan" or "inf", nullopt for anything else. Powers of ten are
// applied to the decimal digits before the one rounding to double, so that "6.1%" is the same double as 0.061.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/section.h"

namespace thinwire::config {

std::optional<int64_t> parse_integer(std::string_view text);  // "300", "-3", "1e6"
std::optional<double> parse_real(std::string_view text);
std::optional<double> parse_fraction(std::string_view text);  // "6.25%" or "0.0625"
std::optional<int64_t> parse_bytes(std::string_view text);    // B kB KB MB GB (powers of ten), KiB MiB GiB; a whole number of bytes
std::optional<double> parse_seconds(std::string_view text);   // ms s m h, or plain seconds
// "10kbit", "200Mbit", "1.5Gbit/s": bits per second, powers of ten. A number without a unit says neither bits nor bytes and is refused.
std::optional<double> parse_rate(std::string_view text);
std::optional<Amount> parse_amount(std::string_view text);

std::string print_real(double value);
std::string print_fraction(double value);
std::string print_bytes(int64_t num_bytes);
std::string print_seconds(double seconds);
std::string print_rate(double bits_per_s);  // "200 Mbit/s", for people: four digits
std::string print_amount(const Amount& amount);

}  // namespace thinwire::config

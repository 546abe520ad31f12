#include "config/values.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "base/check.h"

namespace thinwire::config {

namespace {
constexpr double kExactIntegers = 0x1p53;  // every integer up to here is a double of its own

template <class T>
std::optional<T> whole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view without_plus(std::string_view text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  return plus ? text.substr(1) : text;
}

struct Decimal {
  std::string mantissa;
  int exponent = 0;
};

std::optional<Decimal> split_exponent(std::string_view text) {
  constexpr int kMaxExponent = 100'000;  // far beyond any double, far below overflow
  if (text.empty() || text.find_first_not_of("0123456789.+-eE") != text.npos) return std::nullopt;
  const size_t at = text.find_first_of("eE");
  if (at == text.npos) return Decimal{std::string(without_plus(text)), 0};
  const auto exponent = whole<int>(without_plus(text.substr(at + 1)));
  if (!exponent || std::abs(*exponent) > kMaxExponent) return std::nullopt;
  return Decimal{std::string(without_plus(text.substr(0, at))), *exponent};
}

// text * 10^shift, rounded once.
std::optional<double> parse_shifted(std::string_view text, int shift) {
  const auto decimal = split_exponent(text);
  if (!decimal) return std::nullopt;
  return whole<double>(fmt::format("{}e{}", decimal->mantissa, decimal->exponent + shift));
}

// value * 10^shift in few digits where those say the same number, else in all digits.
std::string print_shifted(double value, int shift) {
  const std::string digits = print_real(value);
  if (const auto shifted = parse_shifted(digits, shift)) {
    std::string text = print_real(*shifted);
    if (parse_shifted(text, -shift) == value) return text;
  }
  const auto decimal = split_exponent(digits);
  return fmt::format("{}e{}", decimal->mantissa, decimal->exponent + shift);
}

bool has_exponent(std::string_view text) { return text.find('e') != text.npos; }

std::optional<std::string_view> before(std::string_view text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return std::nullopt;
  return text.substr(0, text.size() - suffix.size());
}

struct ByteUnit {
  std::string_view name;
  int64_t num_bytes;
  int power_of_ten;  // of num_bytes, 0 for a power of two
};
constexpr std::array<ByteUnit, 9> kByteUnits{{{"GB", 1'000'000'000, 9},  // the largest first, and so printed
                                              {"GiB", 1 << 30, 0},
                                              {"MB", 1'000'000, 6},
                                              {"MiB", 1 << 20, 0},
                                              {"kB", 1'000, 3},
                                              {"KiB", 1 << 10, 0},
                                              {"KB", 1'000, 3},
                                              {"B", 1, 0},
                                              {"", 1, 0}}};

std::optional<int64_t> bytes_in(std::string_view number, const ByteUnit& unit) {
  if (const auto count = parse_integer(number)) {
    int64_t num_bytes = 0;
    if (__builtin_mul_overflow(*count, unit.num_bytes, &num_bytes)) return std::nullopt;
    return num_bytes;
  }
  auto num_bytes = parse_shifted(number, unit.power_of_ten);
  if (num_bytes && unit.power_of_ten == 0) *num_bytes *= static_cast<double>(unit.num_bytes);
  if (!num_bytes || std::abs(*num_bytes) > kExactIntegers || *num_bytes != std::floor(*num_bytes)) return std::nullopt;
  return static_cast<int64_t>(*num_bytes);
}
}  // namespace

std::optional<int64_t> parse_integer(std::string_view text) {
  const auto decimal = split_exponent(text);
  if (!decimal || decimal->exponent < 0) return std::nullopt;
  auto value = whole<int64_t>(decimal->mantissa);
  for (int i = 0; value && *value != 0 && i < decimal->exponent; ++i) {
    if (__builtin_mul_overflow(*value, int64_t{10}, &*value)) return std::nullopt;
  }
  return value;
}

std::optional<double> parse_real(std::string_view text) { return parse_shifted(text, 0); }

std::optional<double> parse_fraction(std::string_view text) {
  const auto percent = before(text, "%");
  return percent ? parse_shifted(*percent, -2) : parse_real(text);
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  const size_t digits_end = text.find_last_of("0123456789.");
  if (digits_end == text.npos) return std::nullopt;
  for (const auto& unit : kByteUnits) {
    if (text.substr(digits_end + 1) == unit.name) return bytes_in(text.substr(0, digits_end + 1), unit);
  }
  return std::nullopt;
}

std::optional<double> parse_seconds(std::string_view text) {
  if (const auto milliseconds = before(text, "ms")) return parse_shifted(*milliseconds, -3);
  if (const auto seconds = before(text, "s")) return parse_real(*seconds);
  double unit_s = 1;
  auto number = before(text, "m");
  if (number) unit_s = 60;
  if (!number && (number = before(text, "h"))) unit_s = 3600;
  const auto count = parse_real(number.value_or(text));
  if (!count || !std::isfinite(*count * unit_s)) return std::nullopt;
  return *count * unit_s;
}

std::optional<Amount> parse_amount(std::string_view text) {
  if (const auto percent = before(text, "%")) {
    const auto value = parse_shifted(*percent, -2);
    if (!value || *value < 0 || *value > 1) return std::nullopt;
    return Amount{Amount::Unit::fraction, *value};
  }
  const auto tokens = before(text, "tok");
  const auto value = parse_real(tokens ? *tokens : before(text, "steps").value_or(text));
  if (!value || *value < 0 || *value > kExactIntegers || *value != std::floor(*value)) return std::nullopt;
  return Amount{tokens ? Amount::Unit::tokens : Amount::Unit::steps, *value};
}

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
    const auto count = parse_real(text.substr(0, text.size() - unit.name.size()));
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

std::string print_real(double value) {
  std::string text = fmt::format("{}", value);  // the fewest digits that read back as this double
  const size_t exponent = text.find('e');
  // Other YAML readers take 2e-05 for a text and 2.0e-05 for a number.
  if (exponent != text.npos && text.find('.') == text.npos) text.insert(exponent, ".0");
  return text;
}

std::string print_fraction(double value) {
  const std::string percent = print_shifted(value, 2);
  return has_exponent(percent) ? print_real(value) : percent + "%";
}

std::string print_bytes(int64_t num_bytes) {
  for (const auto& unit : kByteUnits) {
    if (unit.num_bytes > 1 && num_bytes != 0 && num_bytes % unit.num_bytes == 0) {
      return fmt::format("{}{}", num_bytes / unit.num_bytes, unit.name);
    }
  }
  return std::to_string(num_bytes);
}

std::string print_seconds(double seconds) {
  const std::string text = print_real(seconds);
  if (seconds == 0 || std::abs(seconds) >= 1) return text + "s";
  const std::string milliseconds = print_shifted(seconds, 3);
  return has_exponent(milliseconds) ? text + "s" : milliseconds + "ms";
}

std::string print_amount(const Amount& amount) {
  switch (amount.unit) {
    case Amount::Unit::steps: return print_real(amount.value) + "steps";
    case Amount::Unit::fraction: return print_shifted(amount.value, 2) + "%";
    case Amount::Unit::tokens: return print_real(amount.value) + "tok";
  }
  return {};
}

int64_t Amount::to_steps(int64_t run_steps, int64_t tokens_per_step) const {
  double steps = value;
  if (unit == Unit::fraction) steps = value * static_cast<double>(run_steps);
  if (unit == Unit::tokens) {
    check(tokens_per_step > 0, "a step has tokens");
    steps = value / static_cast<double>(tokens_per_step);
  }
  return static_cast<int64_t>(std::llround(std::min(std::max(steps, 0.0), kExactIntegers)));
}

}  // namespace thinwire::config

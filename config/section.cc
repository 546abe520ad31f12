#include "config/section.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "config/values.h"

namespace thinwire::config {

namespace {
using Error = std::optional<std::string>;

template <class T, class Print>
std::string range_text(const Range<T>& range, const Print& print) {
  const bool low = range.low != std::numeric_limits<T>::lowest(), high = range.high != std::numeric_limits<T>::max();
  if (low && high) return fmt::format(" from {} to {}", print(range.low), print(range.high));
  if (low) return fmt::format(" >= {}", print(range.low));
  if (high) return fmt::format(" <= {}", print(range.high));
  return "";
}

template <class T>
Error assign_in_range(T& value, const std::optional<T>& parsed, const Range<T>& range, const char* not_what) {
  if (!parsed) return not_what;
  if (*parsed < range.low) return "too small";
  if (*parsed > range.high) return "too large";
  value = *parsed;
  return std::nullopt;
}

template <class T>
Form plain(Form::Kind kind, const Range<T>& range) {
  Form form{.kind = kind};
  if (range.low != std::numeric_limits<T>::lowest()) form.low = static_cast<double>(range.low);
  if (range.high != std::numeric_limits<T>::max()) form.high = static_cast<double>(range.high);
  return form;
}

Form quantity(std::vector<std::string> units) { return {.kind = Form::Kind::quantity, .words = std::move(units)}; }

Form or_auto(Form form) {
  form.or_auto = true;
  return form;
}

Field scalar(std::string name, std::string help, std::string type, Form form, std::function<Error(const std::string&)> parse,
             std::function<std::string()> print) {
  Field field;
  field.form = std::move(form);
  field.name = std::move(name);
  field.help = std::move(help);
  field.type = std::move(type);
  field.parse = [parse = std::move(parse)](const std::vector<std::string>& texts) {
    check(texts.size() == 1, "a scalar is parsed from one text");
    return parse(texts[0]);
  };
  field.print = [print = std::move(print)] { return std::vector{print()}; };
  return field;
}

// A number with a unit: `parse` and `print` from config/values.h.
template <class T, class Parse, class Print>
Field number(std::string name, std::string help, const std::string& type, Form form, T& value, Range<T> range, const char* not_what,
             Parse parse, Print print) {
  return scalar(
      std::move(name), std::move(help), type + range_text(range, print), std::move(form),
      [&value, range, not_what, parse](const std::string& text) { return assign_in_range(value, parse(text), range, not_what); },
      [&value, print] { return print(value); });
}

// As number(), or `auto`.
template <class T, class Parse, class Print>
Field number_or_auto(std::string name, std::string help, const std::string& what, Form form, std::optional<T>& value, Range<T> range,
                     Parse parse, Print print) {
  return scalar(
      std::move(name), std::move(help), "auto or " + what + range_text(range, print), or_auto(std::move(form)),
      [&value, range, parse, what](const std::string& text) -> Error {
        if (text == "auto") {
          value.reset();
          return std::nullopt;
        }
        T number = 0;
        Error error = assign_in_range(number, parse(text), range, "neither auto nor a number");
        if (!error) value = number;
        return error;
      },
      [&value, print] { return value ? print(*value) : std::string("auto"); });
}

std::string print_integer(int64_t value) { return std::to_string(value); }
}  // namespace

void Section::add(Field field) {
  check(!field.name.empty() && field.name.find('.') == std::string::npos, "a key has a name without dots");
  check(std::ranges::none_of(fields_, [&](const Field& other) { return other.name == field.name; }), "a section describes a key once");
  fields_.push_back(std::move(field));
}

void Section::boolean(std::string name, bool& value, std::string help) {
  add(scalar(
      std::move(name), std::move(help), "true or false", Form{.kind = Form::Kind::boolean},
      [&value](const std::string& text) -> Error {
        if (text != "true" && text != "false") return "neither true nor false";
        value = text == "true";
        return std::nullopt;
      },
      [&value] { return std::string(value ? "true" : "false"); }));
}

void Section::integer(std::string name, int64_t& value, Range<int64_t> range, std::string help) {
  add(number(std::move(name), std::move(help), "integer", plain(Form::Kind::integer, range), value, range, "not an integer", parse_integer,
             print_integer));
}

void Section::integer_or_auto(std::string name, std::optional<int64_t>& value, Range<int64_t> range, std::string help) {
  add(number_or_auto(std::move(name), std::move(help), "integer", plain(Form::Kind::integer, range), value, range, parse_integer,
                     print_integer));
}

void Section::real(std::string name, double& value, Range<double> range, std::string help) {
  add(number(std::move(name), std::move(help), "number", plain(Form::Kind::number, range), value, range, "not a number", parse_real,
             print_real));
}

void Section::real_or_auto(std::string name, std::optional<double>& value, Range<double> range, std::string help) {
  add(number_or_auto(std::move(name), std::move(help), "number", plain(Form::Kind::number, range), value, range, parse_real, print_real));
}

void Section::fraction(std::string name, double& value, Range<double> range, std::string help) {
  add(number(std::move(name), std::move(help), "fraction (5% or 0.05)", quantity({"%"}), value, range, "not a fraction", parse_fraction,
             print_fraction));
}

void Section::bytes(std::string name, int64_t& value, Range<int64_t> range, std::string help) {
  add(number(std::move(name), std::move(help), "bytes (4MB, 4MiB or 4000000)", quantity({"B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB"}),
             value, range, "not a whole number of bytes", parse_bytes, print_bytes));
}

void Section::seconds(std::string name, double& value, Range<double> range, std::string help) {
  add(number(std::move(name), std::move(help), "seconds (500ms, 60s, 5m, 1h or 60)", quantity({"ms", "s", "m", "h"}), value, range,
             "not a time", parse_seconds, print_seconds));
}

void Section::amount(std::string name, Amount& value, std::string help) {
  add(scalar(
      std::move(name), std::move(help), "part of the run (10%, 200steps, 200 or 1e9tok), from 0 to 100%", quantity({"%", "steps", "tok"}),
      [&value](const std::string& text) -> Error {
        const auto parsed = parse_amount(text);
        if (!parsed) return "not a part of the run";
        value = *parsed;
        return std::nullopt;
      },
      [&value] { return print_amount(value); }));
}

void Section::text(std::string name, std::string& value, std::string help) {
  Field field = scalar(
      std::move(name), std::move(help), "text", Form{.kind = Form::Kind::text},
      [&value](const std::string& text) -> Error {
        value = text;
        return std::nullopt;
      },
      [&value] { return value; });
  field.is_text = true;
  add(std::move(field));
}

void Section::texts(std::string name, std::vector<std::string>& value, std::string help) {
  Field field;
  field.name = std::move(name);
  field.help = std::move(help);
  field.type = "list of texts, or one text";
  field.is_list = field.is_text = true;
  field.parse = [&value](const std::vector<std::string>& texts) -> Error {
    value = texts;
    return std::nullopt;
  };
  field.print = [&value] { return value; };
  add(std::move(field));
}

void Section::choice(std::string name, std::string& value, std::vector<std::string> allowed, std::string help) {
  std::string type = "one of " + join(allowed, " | ");
  Form form{.kind = Form::Kind::choice, .words = allowed};
  add(scalar(
      std::move(name), std::move(help), std::move(type), std::move(form),
      [&value, allowed = std::move(allowed)](const std::string& text) -> Error {
        if (std::ranges::find(allowed, text) == allowed.end()) return "no such choice" + did_you_mean(text, allowed);
        value = text;
        return std::nullopt;
      },
      [&value] { return value; }));
}

void Section::reals(std::string name, std::vector<double>& value, size_t count, Range<double> range, std::string help) {
  Field field;
  field.name = std::move(name);
  field.help = std::move(help);
  field.type = fmt::format("list of {} numbers{}", count, range_text(range, print_real));
  field.form = plain(Form::Kind::number, range);
  field.is_list = true;
  field.parse = [&value, count, range](const std::vector<std::string>& texts) -> Error {
    if (texts.size() != count) return fmt::format("{} given", texts.size());
    std::vector<double> numbers(count);
    for (size_t i = 0; i < count; ++i) {
      if (Error error = assign_in_range(numbers[i], parse_real(texts[i]), range, "not a number"))
        return fmt::format("'{}' is {}", texts[i], *error);
    }
    value = std::move(numbers);
    return std::nullopt;
  };
  field.print = [&value] {
    std::vector<std::string> texts;
    for (const double number : value) texts.push_back(print_real(number));
    return texts;
  };
  add(std::move(field));
}

void Section::add_section(std::string name, std::shared_ptr<Section> nested, std::string name_key, std::string help) {
  check(nested != nullptr, "a nested section is described");
  check(
      name_key.empty() || std::ranges::any_of(nested->fields(), [&](const Field& field) { return field.name == name_key && field.parse; }),
      "the short form of a section sets one of its values");
  Field field;
  field.name = std::move(name);
  field.help = std::move(help);
  field.type = name_key.empty() ? "section" : "section, or only its " + name_key;
  field.section = std::move(nested);
  field.name_key = std::move(name_key);
  add(std::move(field));
}

void Section::add_list(std::string name, std::string help, std::function<Section*(size_t)> element, std::function<size_t()> count,
                       std::function<void()> clear, std::shared_ptr<Section> element_schema) {
  Field field;
  field.name = std::move(name);
  field.help = std::move(help);
  field.type = "list of sections";
  field.element = std::move(element);
  field.count = std::move(count);
  field.clear = std::move(clear);
  field.element_schema = std::move(element_schema);
  add(std::move(field));
}

void Section::only(const std::vector<std::string>& keys, const Use& use) {
  const auto find = [this](const std::string& key) { return std::ranges::find(fields_, key, &Field::name); };
  check(find(use.selector) != fields_.end(), "a key is chosen by another of its section");
  for (const auto& key : keys) {
    check(find(key) != fields_.end(), "what is only for an alternative is described");
    find(key)->uses.push_back(use);
  }
}

void Section::rule(std::string key, std::function<std::optional<std::string>()> holds) {
  rules_.push_back({std::move(key), std::move(holds)});
}

}  // namespace thinwire::config

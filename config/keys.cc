#include "config/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace thinwire::config {

namespace {
constexpr size_t kMostMeant = 3;

void for_each_section(const Section& section, const std::string& path,
                      const std::function<void(const Section&, const std::string&)>& visit) {
  visit(section, path);
  for (const auto& field : section.fields()) {
    if (field.section) for_each_section(*field.section, join_path(path, field.name), visit);
    if (field.element_schema) for_each_section(*field.element_schema, join_path(path, field.name) + "[]", visit);
  }
}

size_t shared_components(std::string_view a, std::string_view b) {
  size_t shared = 0, i = 0;
  for (; i < a.size() && i < b.size() && a[i] == b[i]; ++i) shared += a[i] == '.';
  const bool ended = (i == a.size() || a[i] == '.') && (i == b.size() || b[i] == '.');
  return shared + (ended && i > 0);
}

// The whole keys of that name, those that share most of the path first.
std::vector<std::string> homes_of(const Section& root, std::string_view key, const std::string& near) {
  std::vector<std::string> homes;
  for_each_section(root, "", [&](const Section& section, const std::string& path) {
    if (find_field(section, key)) homes.push_back(join_path(path, key));
  });
  const auto shared = [&](const std::string& home) { return shared_components(without_indices(home), near); };
  std::ranges::stable_sort(homes, [&](const auto& a, const auto& b) { return shared(a) > shared(b); });
  return homes;
}

std::vector<std::string> names_of(const Section& section) {
  std::vector<std::string> names;
  for (const auto& field : section.fields()) names.push_back(field.name);
  return names;
}

// The whole key that is meant by `key` below a section, as far as its names are near to those that there are; empty when none is.
std::string corrected(const Section& section, const std::string& path, std::string_view key) {
  const size_t dot = key.find('.');
  const std::string first(key.substr(0, dot));
  const bool is_there = find_field(section, first) != nullptr;
  const std::string name = is_there ? first : nearest(first, names_of(section));
  if (name.empty()) return "";
  const std::string whole = join_path(path, name);
  const Section* inside = find_field(section, name)->section.get();
  if (dot == key.npos || inside == nullptr) return whole;
  const std::string below = corrected(*inside, whole, key.substr(dot + 1));
  return below.empty() && !is_there ? whole : below;
}

std::string nearest_anywhere(const Section& root, std::string_view key, const std::string& near) {
  std::vector<std::string> names;
  for_each_section(root, "", [&](const Section& section, const std::string&) {
    for (auto& name : names_of(section)) names.push_back(std::move(name));
  });
  const std::string name = nearest(key, names);
  return name.empty() ? "" : homes_of(root, name, near)[0];
}

// "optim.lr" as a file has it: "optim: {lr: ...}".
std::string nested(const std::string& key) {
  const size_t dot = key.find('.');
  if (dot == key.npos) return key + ": ...";
  return fmt::format("{}: {{{}}}", key.substr(0, dot), nested(key.substr(dot + 1)));
}
}  // namespace

std::string join_path(std::string_view section_path, std::string_view key) {
  return section_path.empty() ? std::string(key) : fmt::format("{}.{}", section_path, key);
}

const Field* find_field(const Section& section, std::string_view name) {
  const auto found = std::ranges::find_if(section.fields(), [&](const Field& field) { return field.name == name; });
  return found == section.fields().end() ? nullptr : &*found;
}

std::string without_indices(std::string_view path) {
  std::string result;
  int brackets = 0;
  for (const char c : path) {
    brackets += c == '[';
    if (brackets == 0) result += c;
    brackets -= c == ']';
  }
  return result;
}

std::string unknown_key(const Section& root, const Section& section, const std::string& path, const std::string& key) {
  const std::string first = key.substr(0, key.find('.')), last = key.substr(key.rfind('.') + 1);
  const std::string near = without_indices(path), given = join_path(path, key), message = fmt::format("unknown key '{}'", given);
  std::vector<std::string> meant;
  if (const std::string here = corrected(section, path, key); !here.empty()) meant.push_back(here);
  if (meant == std::vector{given}) return fmt::format("{}: a file has it as {}", message, nested(given));
  if (meant.empty() || first == last) std::ranges::move(homes_of(root, last, near), std::back_inserter(meant));
  if (meant.empty()) meant.push_back(nearest_anywhere(root, last, near));
  meant.resize(std::min(meant.size(), kMostMeant));
  if (!meant.front().empty()) return fmt::format("{} (did you mean '{}'?)", message, join(meant, "' or '"));
  const auto siblings = names_of(section);
  if (siblings.empty()) return message + " (this section takes no keys)";
  return fmt::format("{} (keys here: {})", message, join(siblings, ", "));
}

}  // namespace thinwire::config

#include "config/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace thinwire::config {

namespace {
constexpr size_t kMostHomes = 3;

void for_each_section(const Section& section, const std::string& path,
                      const std::function<void(const Section&, const std::string&)>& visit) {
  visit(section, path);
  for (const auto& field : section.fields()) {
    if (field.section) for_each_section(*field.section, join_path(path, field.name), visit);
    if (field.element_schema) for_each_section(*field.element_schema, join_path(path, field.name), visit);
  }
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

size_t shared_components(std::string_view a, std::string_view b) {
  size_t shared = 0, i = 0;
  for (; i < a.size() && i < b.size() && a[i] == b[i]; ++i) shared += a[i] == '.';
  const bool ended = (i == a.size() || a[i] == '.') && (i == b.size() || b[i] == '.');
  return shared + (ended && i > 0);
}

// The sections that have the key, those that share most of the path first.
std::vector<std::string> homes_of(const Section& root, std::string_view key, const std::string& near) {
  std::vector<std::string> homes;
  for_each_section(root, "", [&](const Section& section, const std::string& path) {
    if (find_field(section, key)) homes.push_back(path);
  });
  std::ranges::stable_sort(homes, [&](const auto& a, const auto& b) { return shared_components(a, near) > shared_components(b, near); });
  return homes;
}

std::string belongs_text(std::string_view key, std::vector<std::string> homes) {
  homes.resize(std::min(homes.size(), kMostHomes));
  for (auto& home : homes) home = home.empty() ? "at the top level" : fmt::format("under '{}'", home);
  return fmt::format("'{}' belongs {}", key, join(homes, " or "));
}

std::vector<std::string> names_of(const Section& section) {
  std::vector<std::string> names;
  for (const auto& field : section.fields()) names.push_back(field.name);
  return names;
}

std::string nearest_anywhere(const Section& root, std::string_view key, const std::string& near) {
  std::vector<std::string> names;
  for_each_section(root, "", [&](const Section& section, const std::string&) {
    for (auto& name : names_of(section)) names.push_back(std::move(name));
  });
  const std::string name = nearest(key, names);
  return name.empty() ? "" : join_path(homes_of(root, name, near)[0], name);
}
}  // namespace

std::string join_path(std::string_view section_path, std::string_view key) {
  return section_path.empty() ? std::string(key) : fmt::format("{}.{}", section_path, key);
}

const Field* find_field(const Section& section, std::string_view name) {
  const auto found = std::ranges::find_if(section.fields(), [&](const Field& field) { return field.name == name; });
  return found == section.fields().end() ? nullptr : &*found;
}

std::string unknown_key(const Section& root, const Section& section, const std::string& path, const std::string& key) {
  const std::string first = key.substr(0, key.find('.')), last = key.substr(key.rfind('.') + 1);
  const std::string near = without_indices(path), message = fmt::format("unknown key '{}'", join_path(path, key));
  const auto siblings = names_of(section);
  const std::string sibling = std::ranges::find(siblings, first) == siblings.end() ? nearest(first, siblings) : "";
  const auto homes = homes_of(root, last, near);
  if (!sibling.empty()) {
    const bool elsewhere_too = !homes.empty() && first == last;
    return fmt::format("{} (did you mean '{}'?{})", message, sibling, elsewhere_too ? " or else: " + belongs_text(last, homes) : "");
  }
  if (!homes.empty()) return message + ": " + belongs_text(last, homes);
  const std::string anywhere = nearest_anywhere(root, last, near);
  if (!anywhere.empty()) return fmt::format("{} (did you mean '{}'?)", message, anywhere);
  if (siblings.empty()) return message + " (this section takes no keys)";
  return fmt::format("{} (keys here: {})", message, join(siblings, ", "));
}

}  // namespace thinwire::config

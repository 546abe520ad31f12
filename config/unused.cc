#include "config/unused.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/keys.h"

namespace thinwire::config {

namespace {

void add_values(const Section& section, const std::string& path, Values& values) {
  for (const auto& field : section.fields()) {
    const std::string key = join_path(path, field.name);
    if (field.section) add_values(*field.section, key, values);
    if (field.element_schema) add_values(*field.element_schema, key, values);
    if (field.print) values[key] = field.print();
  }
}

// Why keys of a section do not count, and who chose that.
struct Reason {
  std::string text;
  Place chosen_at;
};

class Search {
 public:
  Search(const Values& before, const std::map<std::string, Place>& set_at, size_t first_set, Report& report)
      : before_(before), set_at_(set_at), first_set_(first_set), report_(report) {}

  void look_at(const Section& section, const std::string& path, const std::optional<Reason>& of_section) {
    for (const auto& field : section.fields()) {
      const std::string key = join_path(path, field.name);
      const auto reason = of_section ? of_section : reason_of(section, path, field);
      if (field.section) look_at(*field.section, key, reason);
      for (size_t i = 0; field.element && i < field.count(); ++i) look_at(*field.element(i), fmt::format("{}[{}]", key, i), reason);
      if (field.print && reason) tell(field, key, *reason);
    }
  }

 private:
  std::optional<Reason> reason_of(const Section& section, const std::string& path, const Field& field) const {
    for (const Use& use : field.uses) {
      const std::string chosen = find_field(section, use.selector)->print().front();
      if (std::ranges::find(use.words, chosen) != use.words.end() || (use.or_where && use.or_where())) continue;
      const std::string selector = join_path(path, use.selector);
      return Reason{fmt::format("{} is {}, and it is for {} only", selector, chosen, join(use.words, " or ")), place_of(selector)};
    }
    return std::nullopt;
  }

  void tell(const Field& field, const std::string& key, const Reason& reason) {
    const Place place = place_of(key);
    const bool was_put_aside = rank_of(place) < rank_of(reason.chosen_at);
    if (place.source == SIZE_MAX || was_put_aside || field.print() == before_.at(without_indices(key))) return;
    report_.add(place, key, fmt::format("'{}' has no effect: {}", key, reason.text));
  }

  Place place_of(const std::string& key) const {
    const auto found = set_at_.find(key);
    return found == set_at_.end() ? Place{} : found->second;
  }
  // Of sources, from those that nobody gave upwards.
  size_t rank_of(const Place& place) const { return place.source == SIZE_MAX ? 0 : std::min(place.source, first_set_) + 1; }

  const Values& before_;
  const std::map<std::string, Place>& set_at_;
  size_t first_set_;
  Report& report_;
};

}  // namespace

Values values_of(const Section& root) {
  Values values;
  add_values(root, "", values);
  return values;
}

void tell_unused(const Section& root, const Values& before, const std::map<std::string, Place>& set_at, size_t first_set, Report& report) {
  Search(before, set_at, first_set, report).look_at(root, "", std::nullopt);
}

}  // namespace thinwire::config

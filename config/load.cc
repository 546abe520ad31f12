#include "config/load.h"

#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "config/keys.h"
#include "config/report.h"
#include "config/unused.h"
#include "config/yaml_tree.h"

namespace thinwire::config {

namespace {
constexpr size_t kMostShownBytes = 80;

std::string shortened(const std::string& text) { return text.size() <= kMostShownBytes ? text : text.substr(0, kMostShownBytes) + "..."; }

// A wrong value, for a message.
std::string shown(const Yaml& yaml) {
  switch (yaml.kind) {
    case Yaml::Kind::null: return "empty";
    case Yaml::Kind::map: return "a section";
    case Yaml::Kind::scalar: return fmt::format("'{}'", shortened(yaml.text));
    case Yaml::Kind::list: break;
  }
  std::vector<std::string> items;
  for (const auto& item : yaml.items) items.push_back(item->kind == Yaml::Kind::list ? "[...]" : shown(*item));
  return shortened(fmt::format("[{}]", fmt::join(items, ", ")));
}

// Sets the field; an error text when the value does not fit.
std::optional<std::string> parse_values(const Field& field, const Yaml& yaml) {
  if (yaml.kind == Yaml::Kind::scalar) return field.parse({yaml.text});
  if (yaml.kind == Yaml::Kind::null) {
    if (field.is_list) return "an empty list is []";
    return field.is_text ? "an empty text is ''" : "a value is missing";
  }
  if (!field.is_list) return "a single value is wanted";
  if (yaml.kind == Yaml::Kind::map) return "a list is wanted";
  std::vector<std::string> texts;
  for (const auto& item : yaml.items) {
    if (item->kind != Yaml::Kind::scalar) return "the list is not one of single values";
    texts.push_back(item->text);
  }
  return field.parse(texts);
}

std::vector<std::string> names_of(const std::vector<Source>& sources, const std::vector<std::string>& sets) {
  std::vector<std::string> names;
  names.reserve(sources.size() + sets.size());
  for (const auto& source : sources) names.push_back(source.name);
  for (const auto& set : sets) names.push_back("--set " + shortened(set));
  return names;
}

// Puts one source after the other into the described struct, noting where each key was last set.
class Loader {
 public:
  Loader(Section& root, const std::vector<std::string>& source_names)
      : root_(root), before_(values_of(root)), report_(source_names), unused_(source_names) {}

  void load_file(size_t source, const std::string& text);
  void load_set(size_t source, const std::string& set);
  std::vector<std::string> finish(size_t first_set);  // what has no effect

 private:
  std::shared_ptr<const Yaml> parse(const std::string& text, const std::string& path);
  void apply_section(Section& section, const Yaml& yaml, const std::string& path);
  void apply_entries(Section& section, const Yaml& yaml, const std::string& path);
  void apply_field(const Field& field, const Yaml& yaml, const std::string& path, const Place& key_place);
  void apply_sections(const Field& field, const Yaml& yaml, const std::string& path, const Place& key_place);
  void apply_values(const Field& field, const Yaml& yaml, const std::string& path, const Place& key_place);
  void check_rules(Section& section, const std::string& path);
  // The parser puts a missing value where the text goes on, lines below its key.
  Place place_of_value(const Yaml& yaml, const Place& key_place) const {
    return yaml.kind == Yaml::Kind::null ? key_place : place_of(yaml);
  }
  Place place_of(const Yaml& yaml) const { return in_set_ ? Place{source_} : Place{source_, yaml.line, yaml.column}; }

  Section& root_;
  const Values before_;
  Report report_, unused_;
  size_t source_ = 0;
  bool in_set_ = false;
  bool is_whole_ = true;  // every source was read, so that the rules judge what the user wrote
  std::map<std::string, Place> set_at_;
};

std::shared_ptr<const Yaml> Loader::parse(const std::string& text, const std::string& path) {
  try {
    return parse_yaml(text);
  } catch (const YamlError& error) {
    const Place place = in_set_ ? Place{source_} : Place{source_, error.line, error.column};
    report_.add(place, path, error.what());
    is_whole_ = false;
    return nullptr;
  }
}

void Loader::load_file(size_t source, const std::string& text) {
  source_ = source;
  in_set_ = false;
  const auto yaml = parse(text, "");
  if (!yaml || yaml->kind == Yaml::Kind::null) return;
  if (yaml->kind == Yaml::Kind::map) return apply_entries(root_, *yaml, "");
  is_whole_ = false;
  report_.add(place_of(*yaml), "", fmt::format("a config is made of keys and values ('key: value'), it cannot be {}", shown(*yaml)));
}

void Loader::load_set(size_t source, const std::string& set) {
  source_ = source;
  in_set_ = true;
  const size_t equals = set.find('=');
  if (equals == set.npos || equals == 0) return report_.add(Place{source}, "", "expected key=value, such as optim.lr=0.001");
  const std::string key = set.substr(0, equals);
  const auto yaml = parse(set.substr(equals + 1), key);
  if (!yaml) return;
  Section* section = &root_;
  for (size_t begin = 0;;) {
    const size_t dot = key.find('.', begin);
    const std::string path = key.substr(0, dot), section_path = key.substr(0, begin == 0 ? 0 : begin - 1);
    const Field* field = find_field(*section, std::string_view(path).substr(begin));
    if (!field) return report_.add(Place{source}, section_path, unknown_key(root_, *section, section_path, key.substr(begin)));
    if (dot == key.npos) return apply_field(*field, *yaml, path, Place{source});
    if (!field->section) {
      return report_.add(Place{source}, section_path,
                         fmt::format("'{}' has no keys of its own: set it as a whole (accepted: {})", path, field->type));
    }
    section = field->section.get();
    begin = dot + 1;
  }
}

void Loader::apply_entries(Section& section, const Yaml& yaml, const std::string& path) {
  std::map<std::string, const Yaml*> seen;
  for (const auto& [key, value] : yaml.entries) {
    const Place place = place_of(*key);
    if (key->kind != Yaml::Kind::scalar) {
      report_.add(place, path, fmt::format("a key is a plain word, not {}", shown(*key)));
      continue;
    }
    const std::string key_path = join_path(path, key->text);
    if (const auto [first, is_new] = seen.emplace(key->text, key.get()); !is_new) {
      report_.add(place, path,
                  in_set_ ? fmt::format("duplicate key '{}'", key_path)
                          : fmt::format("duplicate key '{}': on line {} and again on line {}; keep one of them", key_path,
                                        first->second->line, key->line));
    } else if (const Field* field = find_field(section, key->text)) {
      apply_field(*field, *value, key_path, place);
    } else {
      report_.add(place, path, report_.is_full() ? "" : unknown_key(root_, section, path, key->text));
    }
  }
}

void Loader::apply_section(Section& section, const Yaml& yaml, const std::string& path) {
  if (yaml.kind == Yaml::Kind::map) return apply_entries(section, yaml, path);
  if (yaml.kind == Yaml::Kind::null) return;  // an empty section keeps what it has
  std::vector<std::string> keys;
  for (const auto& field : section.fields()) keys.push_back(field.name);
  report_.add(place_of(yaml), path, fmt::format("'{}' is a section and cannot be {} (its keys: {})", path, shown(yaml), join(keys, ", ")));
}

void Loader::apply_field(const Field& field, const Yaml& yaml, const std::string& path, const Place& key_place) {
  set_at_[path] = key_place;
  if (field.section && !field.name_key.empty() && yaml.kind == Yaml::Kind::scalar) {
    const Field* name = find_field(*field.section, field.name_key);
    return apply_field(*name, yaml, join_path(path, field.name_key), key_place);
  }
  if (field.section) return apply_section(*field.section, yaml, path);
  if (field.element) return apply_sections(field, yaml, path, key_place);
  apply_values(field, yaml, path, key_place);
}

void Loader::apply_sections(const Field& field, const Yaml& yaml, const std::string& path, const Place& key_place) {
  if (yaml.kind != Yaml::Kind::list) {
    const std::string text = fmt::format("'{}' is a list of sections and cannot be {} (the empty list is [])", path, shown(yaml));
    return report_.add(place_of_value(yaml, key_place), path, text);
  }
  field.clear();
  std::erase_if(set_at_, [&](const auto& entry) { return entry.first.starts_with(path + "["); });
  for (size_t i = 0; i < yaml.items.size(); ++i) {
    const std::string element_path = fmt::format("{}[{}]", path, i);
    set_at_[element_path] = place_of(*yaml.items[i]);
    apply_section(*field.element(i), *yaml.items[i], element_path);
  }
}

void Loader::apply_values(const Field& field, const Yaml& yaml, const std::string& path, const Place& key_place) {
  if (const auto error = parse_values(field, yaml)) {
    report_.add(place_of_value(yaml, key_place), path,
                fmt::format("'{}' cannot be {}: {} (accepted: {})", path, shown(yaml), *error, field.type));
  }
}

void Loader::check_rules(Section& section, const std::string& path) {
  if (report_.spared(path)) {
    for (const auto& rule : section.rules()) {
      const auto broken = rule.holds();
      if (!broken) continue;
      const std::string key = rule.key.empty() ? path : join_path(path, rule.key);
      const auto set_at = set_at_.find(key);
      report_.add(set_at == set_at_.end() ? Place{} : set_at->second, path, key.empty() ? *broken : key + ": " + *broken);
    }
  }
  for (const auto& field : section.fields()) {
    const std::string field_path = join_path(path, field.name);
    if (field.section) check_rules(*field.section, field_path);
    for (size_t i = 0; field.element && i < field.count(); ++i) check_rules(*field.element(i), fmt::format("{}[{}]", field_path, i));
  }
}

std::vector<std::string> Loader::finish(size_t first_set) {
  if (is_whole_) check_rules(root_, "");
  report_.throw_if_any();
  tell_unused(root_, before_, set_at_, first_set, unused_);
  return unused_.lines();
}
}  // namespace

std::vector<std::string> load(Section& root, const std::vector<Source>& sources, const std::vector<std::string>& sets) {
  Loader loader(root, names_of(sources, sets));
  for (size_t i = 0; i < sources.size(); ++i) loader.load_file(i, sources[i].yaml);
  for (size_t i = 0; i < sets.size(); ++i) loader.load_set(sources.size() + i, sets[i]);
  return loader.finish(sources.size());
}

}  // namespace thinwire::config

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/keys.h"
#include "config/load.h"

namespace thinwire::config {

std::string yaml_scalar(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (c == '\n') {
      result += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

namespace {
// What a YAML reader, of whatever version, could take for something other than text.
bool reads_as_other_type(std::string text) {
  static constexpr std::array<std::string_view, 10> kWords{"true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"};
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  if (std::ranges::find(kWords, text) != kWords.end()) return true;
  const bool number_like = text.find_first_not_of("0123456789abcdefox._+-") == text.npos;  // dates and hexadecimal too
  return number_like && text.find_first_of("0123456789") != text.npos;
}

bool is_plain(const std::string& text) {
  const auto is_word = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto is_inner = [&](unsigned char c) {
    return is_word(c) || std::string_view(" ./+-%@=^").find(static_cast<char>(c)) != std::string_view::npos;
  };
  const bool starts = !text.empty() && (is_word(text[0]) || std::string_view("./+-").find(text[0]) != std::string_view::npos);
  const bool is_null = text == "null" || text == "Null" || text == "NULL";
  return starts && !is_null && text.back() != ' ' && std::ranges::all_of(text, is_inner) && !text.starts_with("- ") && text != "-" &&
         text != "---" && text != "...";
}

std::string value_text(const Field& field) {
  std::vector<std::string> texts = field.print();
  for (auto& text : texts) {
    if (!is_plain(text) || (field.is_text && reads_as_other_type(text))) text = yaml_scalar(text);
  }
  return field.is_list ? fmt::format("[{}]", fmt::join(texts, ", ")) : texts.at(0);
}

std::string section_text(const Section& section, size_t indent);

std::string list_text(const Field& field, size_t indent) {
  std::string result;
  for (size_t i = 0; i < field.count(); ++i) {
    std::string element = section_text(*field.element(i), indent + 2);
    if (element.empty()) element = std::string(indent + 2, ' ') + "{}\n";
    element[indent] = '-';  // the first key of an element stands behind its dash
    result += element;
  }
  return result;
}

std::string section_text(const Section& section, size_t indent) {
  std::string result;
  for (const auto& field : section.fields()) {
    result += std::string(indent, ' ') + field.name + ":";
    if (field.section || field.element) {
      const std::string inside = field.section ? section_text(*field.section, indent + 2) : list_text(field, indent + 2);
      result += inside.empty() ? (field.section ? " {}\n" : " []\n") : fmt::format("\n{}", inside);
    } else {
      result += fmt::format(" {}\n", value_text(field));
    }
  }
  return result;
}

void flatten_into(std::map<std::string, std::string>& flat, const Section& section, const std::string& path) {
  for (const auto& field : section.fields()) {
    const std::string key = join_path(path, field.name);
    if (field.section) {
      flatten_into(flat, *field.section, key);
    } else if (field.element) {
      if (field.count() == 0) flat[key] = "[]";
      for (size_t i = 0; i < field.count(); ++i) flatten_into(flat, *field.element(i), fmt::format("{}[{}]", key, i));
    } else {
      flat[key] = field.is_list ? value_text(field) : field.print().at(0);
    }
  }
}

std::string table_cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}

// Of the values of one section, without those of the sections in it.
std::string value_table(const Section& section, const std::string& path) {
  std::string rows;
  for (const auto& field : section.fields()) {
    if (!field.print) continue;
    rows += fmt::format("| `{}` | {} | `{}` | {} |\n", join_path(path, field.name), table_cell(field.type), table_cell(value_text(field)),
                        table_cell(field.help));
  }
  return rows.empty() ? "" : "| key | accepted | default | meaning |\n|---|---|---|---|\n" + rows + "\n";
}

// Each section under its own heading, those in it behind it.
void add_sections(std::string& page, const Section& section, const std::string& path) {
  for (const auto& field : section.fields()) {
    if (!field.section && !field.element_schema) continue;
    const std::string key = join_path(path, field.name) + (field.element_schema ? "[]" : "");
    const Section& inside = field.section ? *field.section : *field.element_schema;
    const std::string kind = field.type == "section" ? "" : fmt::format(" ({})", field.type);
    page += fmt::format("{} {}\n\n`{}`: {}{}.\n\n{}", path.empty() ? "##" : "###", key, key, field.help, kind, value_table(inside, key));
    add_sections(page, inside, key);
  }
}
}  // namespace

std::string print(const Section& root) { return section_text(root, 0); }

std::string docs(const Section& root) {
  std::string page;
  for (const auto& field : root.fields()) {
    if (field.section) page += fmt::format("{}[{}](#{})", page.empty() ? "Sections: " : ", ", field.name, field.name);
  }
  page += page.empty() ? "" : "\n\n";
  page += value_table(root, "");
  add_sections(page, root, "");
  page.pop_back();  // one newline at the end
  return page;
}

std::map<std::string, std::string> flatten(const Section& root) {
  std::map<std::string, std::string> flat;
  flatten_into(flat, root, "");
  return flat;
}

std::vector<std::string> as_sets(const std::map<std::string, std::string>& flat, const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> sets;
  for (const auto& [key, value] : flat) {
    const bool is_list = value.starts_with('[') && value.ends_with(']');
    if (wanted(key)) sets.push_back(key + "=" + (is_list ? value : yaml_scalar(value)));
  }
  return sets;
}

}  // namespace thinwire::config

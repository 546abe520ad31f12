// YAML text as a small read-only tree with the place of every node; duplicate keys are kept for the caller to complain about.
//
// The text is distrusted: it must be UTF-8 without control characters, and neither nesting nor aliases make a tree higher than
// kMaxYamlHeight, so whoever walks it may recurse. Tags are ignored. An alias is the node that it names, with that node's place.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace thinwire::config {

inline constexpr int kMaxYamlHeight = 32;

struct Yaml {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  int line = 0, column = 0;                                                                  // from 1
  std::string text;                                                                          // scalar
  std::vector<std::shared_ptr<const Yaml>> items;                                            // list
  std::vector<std::pair<std::shared_ptr<const Yaml>, std::shared_ptr<const Yaml>>> entries;  // map, in the order of the text
  int height = 1;
};

struct YamlError : std::runtime_error {
  YamlError(const std::string& message, int at_line, int at_column) : std::runtime_error(message), line(at_line), column(at_column) {}
  int line, column;  // from 1; 0 when unknown
};

// The one document in `text`, null when there is none. Throws YamlError.
std::shared_ptr<const Yaml> parse_yaml(const std::string& text);

}  // namespace thinwire::config

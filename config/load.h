// YAML in, a filled struct out; and back.
//
// Strict: an unknown, duplicate or misplaced key, a wrong type or an out-of-range value is an error with file:line:column, the key, what
// is accepted and a suggestion. All errors of all sources are reported in one ConfigError, one per line, in the order of the sources and
// of their lines. After an error the struct holds a mixture of old and new values: throw it away.
//
// Threads: none are started, and one thread at a time may use a Section. The text is distrusted: any bytes give values or a ConfigError.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/section.h"

namespace thinwire::config {

struct Source {
  std::string name;  // for messages: a path, or "--set"
  std::string yaml;
};

Source read_file(const std::filesystem::path& path);  // "-" is standard input; ConfigError when unreadable

// Later sources win, key by key (lists are replaced whole); `sets` ("a.b=v", v is YAML) come last. Then the rules are checked, of each
// section that had no error. An empty source or section changes nothing.
//
// Returns a line for each key that has no effect (Section::only) and was given another value than it had: in the source that chose an
// alternative which does not look at it, or in a later one. Where a later source chose, as `--set compress.codec=none` does over a file,
// the settings of what it has put aside are not told of. All of `sets` are one source.
std::vector<std::string> load(Section& root, const std::vector<Source>& sources, const std::vector<std::string>& sets);

std::string print(const Section& root);        // YAML that load() turns into the same values
std::string docs(const Section& root);         // Markdown: a heading and a table (key, type, default, meaning) for each section
std::string json_schema(const Section& root);  // draft 07, for editors and checkers of YAML; the rules over several keys are not in it
std::map<std::string, std::string> flatten(const Section& root);  // "optim.lr" -> "0.002"; list elements as "compress.rules[0].match"
// What flatten() gave of these keys, as `sets` of load(); not for elements of lists of sections.
std::vector<std::string> as_sets(const std::map<std::string, std::string>& flat, const std::function<bool(const std::string&)>& wanted);
std::string yaml_scalar(const std::string& text);  // as a YAML scalar

template <class T>
Section describe_root(T& value) {
  Section root;
  describe(root, value);
  return root;
}

}  // namespace thinwire::config

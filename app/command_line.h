// Words of a command line, held against the verbs and options that there are: whatever is misspelt is told with the nearest name.
#pragma once
#include <string>
#include <vector>

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace thinwire::app {

// Parses what stands behind the program's name, which runs the callbacks of the verbs that are named. False when help or a version was
// asked for, and printed. ConfigError, with a suggestion, for an unknown verb or option, a word or value that does not fit, or what is
// missing.
bool parse(CLI::App& app, std::vector<std::string> words);

// For CLI::Option::check(): one of these words.
CLI::Validator one_of(const std::vector<std::string>& words);

}  // namespace thinwire::app

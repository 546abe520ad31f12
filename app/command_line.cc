#include "app/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"

namespace thinwire::app {

namespace {

// What other launchers and trainers call an option of ours.
struct Elsewhere {
  std::string_view theirs, ours;
};
constexpr std::array kElsewhere = {
    Elsewhere{"--nproc-per-node", "-n"},
    Elsewhere{"--np", "-n"},
    Elsewhere{"-np", "-n"},
    Elsewhere{"--num-processes", "-n"},
    Elsewhere{"--master-addr", "--rendezvous"},
    Elsewhere{"--master-port", "--rendezvous"},
    Elsewhere{"--rdzv-endpoint", "--rendezvous"},
    Elsewhere{"--max-restarts", "--restarts"},
    Elsewhere{"--machinefile", "--hostfile"},
    Elsewhere{"--num-nodes", "--nnodes"},
    Elsewhere{"--config-file", "--config"},
    Elsewhere{"--override", "--set"},
    Elsewhere{"--max-new-tokens", "--max-tokens"},
    Elsewhere{"--output", "--out"},
    Elsewhere{"--resume-from", "--resume"},
};

std::string name_of(const CLI::App& verb) {
  return verb.get_parent() == nullptr ? verb.get_name() : name_of(*verb.get_parent()) + " " + verb.get_name();
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const auto* option : verb.get_options()) {
    if (option->get_group().empty()) continue;
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// Ours for it, where this verb has it.
std::string known_elsewhere(const CLI::App& verb, std::string word) {
  std::replace(word.begin(), word.end(), '_', '-');
  for (const auto& [theirs, ours] : kElsewhere) {
    if (word == theirs && verb.get_option_no_throw(std::string(ours)) != nullptr) return fmt::format(" (here it is called {})", ours);
  }
  return "";
}

[[noreturn]] void refuse_option(const CLI::App& verb, const std::string& word) {
  const auto options = options_of(verb);
  std::string hint = known_elsewhere(verb, word);
  if (hint.empty()) hint = did_you_mean(word, options);
  if (hint.empty()) hint = "; its options are " + join(options, ", ");
  throw ConfigError(fmt::format("{} has no option {}{}", name_of(verb), word, hint));
}

[[noreturn]] void refuse_verb(const CLI::App& app, const std::string& word) {
  const auto verbs = verbs_of(app);
  throw ConfigError(
      fmt::format("unknown verb '{}'{}; the verbs of {} are {}", word, did_you_mean(word, verbs), name_of(app), join(verbs, ", ")));
}

void refuse_word(const CLI::App& verb, const std::string& word) {
  for (const auto* option : verb.get_options()) {
    if (option->get_positional() || option->get_allow_extra_args()) return;
  }
  const bool is_config = word.ends_with(".yaml") || word.ends_with(".yml");
  const bool takes_config = verb.get_option_no_throw("--config") != nullptr;
  throw ConfigError(
      fmt::format("{} does not take '{}'{}", name_of(verb), word, is_config && takes_config ? " (did you mean -c " + word + "?)" : ""));
}

bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h" || word == "--version"; }
bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-' && word[1] != '.' && (word[1] < '0' || word[1] > '9'); }

// CLI11 takes words one by one and complains of what is left over, or first of what is missing because another word was misspelt.
void refuse_unknown_words(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* verb = &app;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--" || asks_for_help(word)) return;
    if (is_option(word)) {
      const bool is_long = word.starts_with("--");
      const std::string name = is_long ? word.substr(0, word.find('=')) : word.substr(0, 2);
      const auto* option = verb->get_option_no_throw(name);
      if (option == nullptr || !known_elsewhere(*verb, word).empty()) refuse_option(*verb, is_long ? name : word);
      if (word == name) i += static_cast<size_t>(std::max(0, option->get_items_expected_min()));  // its values, whatever they look like
    } else if (const auto verbs = verbs_of(*verb); !verbs.empty()) {
      if (std::find(verbs.begin(), verbs.end(), word) == verbs.end()) refuse_verb(*verb, word);
      verb = verb->get_subcommand(word);
    } else {
      refuse_word(*verb, word);
    }
  }
  if (const auto verbs = verbs_of(*verb); !verbs.empty()) {
    throw ConfigError(fmt::format("{} wants a verb: {}; {} --help says what each does", name_of(*verb), join(verbs, ", "), name_of(*verb)));
  }
}

const CLI::App& chosen(const CLI::App& app) {
  const auto verbs = app.get_subcommands();
  return verbs.empty() ? app : chosen(*verbs.front());
}

}  // namespace

bool parse(CLI::App& app, std::vector<std::string> words) {
  if (!words.empty() && words.front() == "help") {  // thinwire help train
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  refuse_unknown_words(app, words);
  try {
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(words);
    return true;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      app.exit(e);  // prints what was asked for
      return false;
    }
    const std::string name = name_of(chosen(app));
    throw ConfigError(fmt::format("{}: {}; {} --help says more", name, e.what(), name));
  }
}

CLI::Validator one_of(const std::vector<std::string>& words) {
  const auto refuse = [words](std::string& given) {
    if (std::find(words.begin(), words.end(), given) != words.end()) return std::string();
    return fmt::format("'{}' is none of {}{}", given, join(words, ", "), did_you_mean(given, words));
  };
  return CLI::Validator(refuse, fmt::format("{{{}}}", join(words, ",")));
}

}  // namespace thinwire::app

// Which codecs a benchmark times: its own list, one codec of it, or one under options of the caller's.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "compressors/registry.h"

namespace thinwire::benchmarks {

struct Subject {
  std::string codec;
  std::vector<std::string> options;
};

struct Choice {
  std::string only;
  std::vector<std::string> options;
};

inline void add_choice(CLI::App& app, Choice& choice) {
  auto* only = app.add_option("--only", choice.only, "this codec alone")->check(CLI::IsMember(compressors::codec_names()));
  app.add_option("--set", choice.options, "its options, in place of the usual ones: density=1%")->needs(only);
}

inline std::vector<Subject> chosen(const Choice& choice, std::vector<Subject> subjects) {
  if (!choice.options.empty()) return {{choice.only, choice.options}};
  std::erase_if(subjects, [&](const Subject& subject) { return !choice.only.empty() && subject.codec != choice.only; });
  return subjects;
}

}  // namespace thinwire::benchmarks

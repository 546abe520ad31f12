#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "app/configuration.h"
#include "app/verbs.h"
#include "base/log.h"
#include "config/load.h"
#include "trainer/options.h"

namespace thinwire::app {

std::string ConfigArguments::stem() const {
  if (files.empty() || files.front() == "-") return "run";
  return std::filesystem::path(files.front()).stem();
}

CLI::Option* add_config_options(CLI::App& verb, ConfigArguments& arguments) {
  auto* files = verb.add_option("-c,--config", arguments.files, "YAML file; later ones win, key by key; - is standard input")
                    ->type_name("FILE")
                    ->allow_extra_args(false);
  verb.add_option("--set", arguments.sets, "one key, over all files: optim.lr=1e-3")->type_name("KEY=VALUE")->allow_extra_args(false);
  return files;
}

void load_into(config::Section& root, const ConfigArguments& arguments) {
  std::vector<config::Source> sources;
  for (const auto& file : arguments.files) sources.push_back(config::read_file(file));
  const auto unused = config::load(root, sources, arguments.sets);
  if (!arguments.tells_unused || log::rank() != 0) return;
  for (const auto& line : unused) log::warn("{}", line);
}

void add_config(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("config", "Shows a configuration with all defaults, or every key that there is");
  verb->require_subcommand(1);
  auto* print = verb->add_subcommand("print", "the resolved configuration as YAML");
  auto arguments = std::make_shared<ConfigArguments>();
  add_config_options(*print, *arguments);
  print->callback([arguments, &action] {
    action = [arguments] {
      trainer::Options options;
      auto root = config::describe_root(options);
      load_into(root, *arguments);
      std::fputs(config::print(root).c_str(), stdout);
      return 0;
    };
  });
  const auto add_table = [&](const char* name, const char* help, std::string (*write)(const config::Section&)) {
    verb->add_subcommand(name, help)->callback([write, &action] {
      action = [write] {
        trainer::Options options;
        std::fputs(write(config::describe_root(options)).c_str(), stdout);
        return 0;
      };
    });
  };
  add_table("docs", "every key with type, default and meaning, as Markdown", config::docs);
  add_table("schema", "the same as a JSON Schema, for editors and checkers of YAML", config::json_schema);
}

}  // namespace thinwire::app

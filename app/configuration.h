// -c FILE and --set key=value, shared by every verb that reads a configuration.
#pragma once
#include <string>
#include <vector>

#include "config/section.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace thinwire::app {

struct ConfigArguments {
  std::vector<std::string> files, sets;
  bool tells_unused = true;  // rank 0 warns of keys that have no effect
  std::string stem() const;  // of the first file, for run.name: auto
};

CLI::Option* add_config_options(CLI::App& verb, ConfigArguments& arguments);  // returns -c
// ConfigError with everything that is wrong.
void load_into(config::Section& root, const ConfigArguments& arguments);

}  // namespace thinwire::app

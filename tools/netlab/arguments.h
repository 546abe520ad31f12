// The command line of netlab, read.
#pragma once
#include <string>
#include <vector>

#include "tools/netlab/lab.h"

namespace thinwire::netlab {

struct Help {
  std::string text;
};

// `words` without the name of the program. ConfigError says what is wrong with them; Help is thrown when that is what they ask for.
Arguments parse_arguments(std::vector<std::string> words);

}  // namespace thinwire::netlab

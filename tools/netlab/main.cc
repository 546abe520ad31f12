// netlab: emulated hosts on this machine, joined by slow links (docs/netlab.md).
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tools/netlab/arguments.h"
#include "tools/netlab/command.h"

using namespace thinwire;

namespace {
int run(const std::vector<std::string>& words) {
  if (!words.empty() && words[0] == "--on") {
    if (words.size() < 3) throw ConfigError("--on takes a host and a command");
    return netlab::run_on(words[1], {words.begin() + 2, words.end()});
  }
  return netlab::run(netlab::parse_arguments(words));
}
}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const netlab::Help& help) {
    fmt::print("{}", help.text);
    return 0;
  } catch (const netlab::Unavailable& error) {
    fmt::print(stderr, "[netlab] skipped: {}\n", error.what());
    return netlab::kSkipped;
  } catch (const Error& error) {
    fmt::print(stderr, "[netlab] {}\n", error.what());
    return static_cast<int>(error.code());
  }
}

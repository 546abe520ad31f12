// What every benchmark's main() ends with: reads the command line, runs, and turns an error into its message and exit code.
#pragma once
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "base/function_ref.h"

namespace thinwire::benchmarks {

inline int parse_and_run(CLI::App& app, int argc, char** argv, FunctionRef<int()> run) {
  CLI11_PARSE(app, argc, argv);
  try {
    return run();
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}

}  // namespace thinwire::benchmarks

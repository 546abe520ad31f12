// thinwire: trains models on machines joined by thin wires.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <new>

#include "app/verbs.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/rendezvous/environment.h"

using namespace thinwire;

namespace {

int fail(ExitCode code, const char* what) {
  log::error("{}", what);
  return static_cast<int>(code);
}

// CLI11 would only say that a verb is missing.
void refuse_unknown_verb(const CLI::App& app, const char* given) {
  std::vector<std::string> verbs;
  for (const auto* verb : app.get_subcommands({})) verbs.push_back(verb->get_name());
  if (given[0] == '-' || std::find(verbs.begin(), verbs.end(), given) != verbs.end()) return;
  throw ConfigError(fmt::format("unknown verb '{}'{}; the verbs are {}", given, did_you_mean(given, verbs), join(verbs, ", ")));
}

int run(int argc, char** argv) {
  CLI::App app(
      "Trains models on machines joined by thin wires.\nExit codes: 0 done, 2 usage or configuration, 3 data, 4 checkpoint, 5 transport, "
      "7 non-finite values, 8 out of memory, 75 stopped by a signal after a good checkpoint.",
      "thinwire");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  app::Action action;
  app::add_train(app, argc, argv, action);
  app::add_checkpoints(app, action);
  app::add_config(app, action);
  app::add_plan(app, action);
  app::add_version(app, action);
  if (argc > 1) refuse_unknown_verb(app, argv[1]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int status = app.exit(e);  // prints help, or what is wrong
    return status == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  return action();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    log::set_rank(comm::detect_environment().rank);
    return run(argc, argv);
  } catch (const Error& e) {
    return fail(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::out_of_memory, "out of memory; a smaller data.micro_batch, model.context or model.d_model needs less");
  } catch (const std::exception& e) {
    return fail(ExitCode::other, e.what());
  }
}

#include "app/verbs.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace thinwire::app {

namespace {
// As torchrun takes it. Else it would be said of train's options that launch has none of them.
void refuse_launch_without_dashes(int argc, char** argv) {
  const auto is = [&](std::string_view word) { return std::find(argv, argv + argc, word) != argv + argc; };
  if (std::string_view(argv[1]) != "launch" || is("--") || !is("train")) return;
  throw ConfigError("what launch starts stands behind --: put it before train, as in thinwire launch -n 2 -- train -c FILE");
}
}  // namespace

void add_verbs(CLI::App& app, int argc, char** argv, Action& action) {
  add_train(app, argc, argv, action);
  add_launch(app, argc, argv, action);
  add_eval(app, action);
  add_generate(app, action);
  add_export(app, action);
  add_import(app, action);
  add_prepare_data(app, action);
  add_checkpoints(app, action);
  add_config(app, action);
  add_plan(app, action);
  add_estimate(app, action);
  add_doctor(app, action);
  add_report(app, action);
  add_version(app, action);
  if (argc > 1) refuse_launch_without_dashes(argc, argv);
}

int own_arguments(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "launch") return argc;
  return static_cast<int>(std::find(argv, argv + argc, std::string_view("--")) - argv);
}

}  // namespace thinwire::app

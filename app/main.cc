// thinwire: trains models on machines joined by thin wires.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/command_line.h"
#include "app/failure.h"
#include "app/standard_streams.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/rendezvous/environment.h"
#include "launch/process.h"

using namespace thinwire;

namespace {

int run(int argc, char** argv) {
  CLI::App app(
      "Trains models on machines joined by thin wires.\nExit codes: 0 done, 2 usage or configuration, 3 data, 4 checkpoint, 5 transport, "
      "6 no progress, 7 non-finite values, 8 out of memory, 75 stopped by a signal after a good checkpoint.",
      "thinwire");
  app.require_subcommand(1);
  app.set_version_flag("--version", app::version_text);
  app.option_defaults()->always_capture_default();
  app::Action action;
  app::add_verbs(app, argc, argv, action);
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + app::own_arguments(argc, argv));
  const bool acts = app::parse(app, words);
  const bool trains = acts && (app.got_subcommand("train") || app.got_subcommand("launch"));
  if (trains) std::signal(SIGPIPE, SIG_IGN);  // it goes on when nobody reads of it any more
  const int code = acts ? action() : 0;
  if (!trains) app::check_standard_output();  // what others print is what they are for
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  app::occupy_closed_streams();
  int code = 0;
  try {
    if (const auto launcher = comm::environment_variable("THINWIRE_LAUNCHER")) launch::die_with(std::atoi(launcher->c_str()));
    log::set_rank(comm::detect_environment().rank);
    code = run(argc, argv);
  } catch (...) {
    code = static_cast<int>(app::tell(failure_of(std::current_exception())));
  }
  // All that was ours has ended. What is left are LibTorch's tables of operators, which take 0.2 s to take down, for nothing.
  std::fflush(nullptr);
  std::_Exit(code);
}

// thinwire: trains models on machines joined by thin wires.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <new>

#include "app/command_line.h"
#include "app/verbs.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/rendezvous/environment.h"
#include "launch/failure.h"
#include "launch/process.h"

using namespace thinwire;

namespace {

int fail(ExitCode code, const char* what) {
  log::error("{}", what);
  if (const auto path = comm::environment_variable("TORCHELASTIC_ERROR_FILE")) launch::write_error_report(*path, code, what);
  return static_cast<int>(code);
}

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
  return app::parse(app, words) ? action() : 0;
}

// LibTorch tells of memory that it did not get, on the host or on a GPU, by its general error.
bool is_out_of_memory(const std::string& what) {
  return what.find("can't allocate memory") != std::string::npos || what.find("out of memory") != std::string::npos;
}

int fail_for_memory() {
  return fail(ExitCode::out_of_memory, "out of memory; a smaller data.micro_batch, model.context or model.d_model needs less");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (const auto launcher = comm::environment_variable("THINWIRE_LAUNCHER")) launch::die_with(std::atoi(launcher->c_str()));
    log::set_rank(comm::detect_environment().rank);
    return run(argc, argv);
  } catch (const Error& e) {
    return fail(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return fail_for_memory();
  } catch (const std::exception& e) {
    if (is_out_of_memory(e.what())) return fail_for_memory();
    return fail(ExitCode::other, e.what());
  }
}

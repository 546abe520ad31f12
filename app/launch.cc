#include "launch/launcher.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "app/train.h"
#include "app/verbs.h"
#include "base/error.h"
#include "checkpoint/layout.h"
#include "comm/rendezvous/environment.h"

namespace thinwire::app {

namespace {

// The words without what says where a run begins, and with where it goes on. What branched off from another run and has saved nothing yet
// branches off again.
std::vector<std::string> resumed(const std::vector<std::string>& words, const std::filesystem::path& run_directory) {
  std::vector<std::string> kept;
  std::string from;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--overwrite") continue;
    if (words[i].starts_with("--resume=")) {
      from = words[i].substr(words[i].find('=') + 1);
    } else if (words[i] == "--resume" && i + 1 < words.size()) {
      from = words[++i];
    } else {
      kept.push_back(words[i]);
    }
  }
  const bool branches_again =
      !from.empty() && from != "never" && from != "auto" && checkpoint::steps_in(run_directory / "checkpoints").empty();
  if (branches_again) kept.insert(kept.end(), {"--overwrite", "--resume", from});
  if (!branches_again) kept.insert(kept.end(), {"--resume", "auto"});
  const std::string name = run_directory.filename(), dir = run_directory.parent_path();
  kept.insert(kept.end(), {"--set", "run.name=" + name, "--set", "run.dir=" + dir});
  return kept;
}

std::string way_on(const std::filesystem::path& run_directory) {
  try {
    const auto steps = checkpoint::steps_in(run_directory / "checkpoints");
    return steps.empty() ? ""
                         : fmt::format("the newest checkpoint is of step {}; go on by the same command with --resume auto", steps.front());
  } catch (const Error&) {  // the storage is gone, which the failure of the ranks has told
    return "";
  }
}

std::string this_program() {
  std::error_code failed;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::string("thinwire") : path.string();
}

void refuse_another_launcher() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "THINWIRE_RUN"}) {
    if (const auto value = comm::environment_variable(variable)) {
      throw ConfigError(fmt::format(
          "thinwire launch was itself started by another launcher ({}={}): start `thinwire train` under that one, or launch without it",
          variable, *value));
    }
  }
}

int run_launch(const launch::LaunchOptions& options, const std::vector<std::string>& words) {
  if (words.empty() || (words.front() != "train" && words.front() != "doctor")) {
    throw ConfigError("thinwire launch starts ranks of `thinwire train`: thinwire launch -n 2 -- train -c FILE; or of `thinwire doctor`");
  }
  refuse_another_launcher();
  launch::check_options(options);
  comm::LaunchEnvironment env;
  env.world = launch::world_of(options);
  env.source = "launch -n";
  if (words.front() == "train") {
    const std::string transport = check_train({words.begin() + 1, words.end()}, env);
    if (transport.empty()) return 0;
    if (transport == "mpi")
      throw ConfigError(
          "comm.transport is mpi, which mpirun starts: mpirun -n N --bind-to none thinwire train ...; thinwire launch joins ranks by grpc");
  }
  const auto resume = [words](const std::filesystem::path& directory) { return resumed(words, directory); };
  return launch::launch(options, {this_program(), words, resume, way_on});
}

}  // namespace

void add_launch(CLI::App& app, int argc, char** argv, Action& action) {
  auto* verb = app.add_subcommand("launch", "Starts the ranks of a run: thinwire launch -n N -- train ... (docs/launch.md)");
  auto options = std::make_shared<launch::LaunchOptions>();
  verb->add_option("-n,--ranks", options->ranks, "ranks on this host; with --hostfile: on all hosts together")
      ->required()
      ->check(CLI::Range(1, 4096));
  verb->add_option("--hostfile", options->hostfile, "start them on these hosts, over ssh; a line per host: node1 slots=4")
      ->type_name("FILE");
  verb->add_option("--nnodes", options->nodes, "this host is one of so many, each of which runs this command")->check(CLI::Range(1, 4096));
  verb->add_option("--node-rank", options->node, "which of them, from 0")->check(CLI::Range(0, 4095));
  verb->add_option("--rendezvous", options->rendezvous, "where rank 0, on node 0, lets the others find it")->type_name("HOST:PORT");
  verb->add_option("--restarts", options->restarts, "start all ranks again after a failure, so often, from the newest good checkpoint")
      ->check(CLI::Range(0, 1000));
  verb->add_option("--grace", options->grace_s, "seconds between a signal that was handed on and SIGKILL")->check(CLI::Range(0.0, 86400.0));
  verb->add_option("--first-rank", options->first_rank)->group("");  // of launchers that a hostfile's launcher starts
  verb->add_option("--world", options->world)->group("");
  verb->add_flag("--lifeline", options->has_lifeline)->group("");
  const std::vector<std::string> words(argv + std::min(argc, own_arguments(argc, argv) + 1), argv + argc);
  verb->footer("What stands behind -- is what every rank runs: -- train -c FILE ..., or -- doctor");
  verb->callback([options, words, &action] { action = [options, words] { return run_launch(*options, words); }; });
}

}  // namespace thinwire::app

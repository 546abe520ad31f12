// `thinwire launch`: starts the ranks of a run on this host, or this host's share of them, and stays until they have ended.
//
// Ranks are processes of this same program. They are told their place by the variables that torchrun sets (docs/launch.md) and meet by
// themselves; the launcher never talks to them but by signals. It starts them before anything of gRPC, MPI or CUDA is touched, and touches
// none of it itself. No rank outlives it, however it ends.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace thinwire::launch {

struct LaunchOptions {
  int ranks = 0;            // on this host; with a hostfile: in all
  std::string hostfile;     // start `thinwire launch` on these hosts, over ssh
  int nodes = 1, node = 0;  // this host is one of so many, each with `ranks` ranks
  std::string rendezvous;   // HOST:PORT of rank 0, when there are several
  int restarts = 0;         // how often the ranks are started anew after a failure
  double grace_s = 30;      // after a signal was handed on, until SIGKILL
  // Set by the launcher of a hostfile for those that it starts:
  int first_rank = -1, world = -1;
  bool has_lifeline = false;  // standard input ends when that launcher does
};

// What every rank runs.
struct Work {
  std::string program;                 // this one
  std::vector<std::string> arguments;  // train -c FILE ...
  // The same, to go on from the newest good checkpoint of the run in that directory.
  std::function<std::vector<std::string>(const std::filesystem::path& run_directory)> resume;
  // For people: how a failed run in that directory can go on; empty when there is nothing yet to go on from.
  std::function<std::string(const std::filesystem::path& run_directory)> way_on;
};

// ConfigError for options that do not fit one another.
void check_options(const LaunchOptions& options);
int world_of(const LaunchOptions& options);  // ranks in all

// Returns the exit code: that of the first rank that failed, 128 + signal for one that a signal killed.
int launch(const LaunchOptions& options, const Work& work);

}  // namespace thinwire::launch

// A training run of one rank: everything between a configuration and a trained model.
//
// All ranks of the transport's world call train() with equal options; each has its own thread or process. Errors are thrown as Error with
// the exit code that the process should end with, on every rank that can still be reached.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "comm/transport.h"
#include "trainer/options.h"
#include "trainer/run_directory.h"

namespace thinwire::trainer {

struct RunRequest {
  Resume resume;
  bool overwrite = false;
  bool dry_run = false;                       // every check and one step, and nothing is written: rehearsal.h
  std::string config_stem = "run";            // for run.name: auto
  std::string resolved_yaml;                  // what config.yaml will hold
  std::map<std::string, std::string> config;  // flattened, for comparisons between ranks and with checkpoints
  std::vector<std::string> argv;
  std::string version, build;                                      // of the program
  std::function<void(const std::filesystem::path&)> on_directory;  // called on every rank when the run directory is there; may be empty
  std::function<void()> on_connected;                              // called on every rank when all have found each other; may be empty
  // Ends this process, and does not return: called, from any thread, when the rank should end and does not. Empty: nothing is done.
  std::function<void(ExitCode, const std::string& why)> end_process;
};

// How a run came to its end: ok; requeue: stopped by a signal after a good checkpoint; checkpoint: the last save failed.
struct Ended {
  ExitCode code = ExitCode::ok;
  std::string why = {};  // of checkpoint, for people; the same on every rank
};
Ended train(const Options& options, comm::Transport& transport, const RunRequest& request);

}  // namespace thinwire::trainer

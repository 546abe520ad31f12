#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "app/build_info.h"
#include "app/verbs.h"

namespace thinwire::app {

std::string build_description() {
  return fmt::format("commit {}, {}, {}, LibTorch {}, {}", kCommit, kBuildType, kCompiler, kTorchVersion, kMpiVersion);
}

std::string version_text() {
  return fmt::format(
      "thinwire   {}\ncommit     {}\nbuild      {}\ncompiler   {}\nLibTorch   {}\nMPI        {}\ntransports loopback, mpi, grpc, nccl",
      kVersion, kCommit, kBuildType, kCompiler, kTorchVersion, kMpiVersion);
}

void add_version(CLI::App& app, Action& action) {
  app.add_subcommand("version", "What this program is and was built with")->callback([&action] {
    action = [] {
      fmt::print("{}\n", version_text());
      return 0;
    };
  });
}

}  // namespace thinwire::app

// What the launcher that started this process says about it. The only file that reads the process environment.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::comm {

struct LaunchEnvironment {
  int rank = 0, world = 1;
  int local_rank = 0, local_world = 1;
  std::string source;  // "OMPI_COMM_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS": the variable that told the world size; empty: started alone
  bool has_mpi = false;  // the launcher speaks PMI(x), so that an MPI world can form
  bool started_alone() const { return source.empty(); }
};

using ReadVariable = std::function<std::optional<std::string>(const char*)>;

// torchrun (RANK, WORLD_SIZE), Open MPI (OMPI_COMM_WORLD_*), Slurm (SLURM_PROCID, SLURM_NTASKS, within a job step). Sources that contradict
// each other, or do not parse, are a ConfigError that names both with their values.
LaunchEnvironment detect_environment(const ReadVariable& read);
LaunchEnvironment detect_environment();  // of this process

std::optional<std::string> environment_variable(const char* name);
// "NAME=value" of all whose name starts with the prefix, sorted.
std::vector<std::string> environment_variables(std::string_view prefix);

}  // namespace thinwire::comm

// What the launcher that started this process says about it. The only file that reads the process environment.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thinwire::comm {

// Where ranks that no MPI joins find each other: rank 0 serves a store there (store.h).
struct Meeting {
  std::string host;
  int port = 0, num_ports = 1;  // rank 0 takes the first that is free
  std::string run;              // tells this run's processes from those of others
  std::string source;           // "MASTER_ADDR and MASTER_PORT": for messages
  bool is_local = false;        // no rank can be on another host
};

struct LaunchEnvironment {
  int rank = 0, world = 1;
  int local_rank = 0, local_world = 1;
  int node = 0;        // of the ranks' hosts, as far as the launcher counts them
  std::string source;  // "OMPI_COMM_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS": the variable that told the world size; empty: started alone
  bool has_mpi = false;            // the launcher speaks PMIx, so that an MPI world can form: Debian's and Ubuntu's Open MPI know no other
  std::optional<Meeting> meeting;  // nothing: the launcher does not say where
  bool started_alone() const { return source.empty(); }
};

using ReadVariable = std::function<std::optional<std::string>(const char*)>;

// torchrun, `thinwire launch` and whoever sets RANK and WORLD_SIZE; Open MPI (OMPI_COMM_WORLD_*); Slurm (SLURM_PROCID, SLURM_NTASKS, within
// a job step). Sources that contradict each other, or do not parse, are a ConfigError that names both with their values. The table of
// variables: docs/launch.md.
LaunchEnvironment detect_environment(const ReadVariable& read);
LaunchEnvironment detect_environment();  // of this process

std::optional<std::string> environment_variable(const char* name);
// "NAME=value" of all whose name starts with the prefix, sorted.
std::vector<std::string> environment_variables(std::string_view prefix);

}  // namespace thinwire::comm

#include "comm/rendezvous/environment.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "comm/rendezvous/node_list.h"

namespace thinwire::comm {

namespace {
struct Names {
  const char *rank, *world, *local_rank;
  std::array<const char*, 2> local_world;  // the same thing under several names
  std::array<const char*, 3> node;
};
constexpr Names kOpenMpi = {
    "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", {"OMPI_COMM_WORLD_LOCAL_SIZE"}, {}};
constexpr Names kTorchrun = {
    "RANK", "WORLD_SIZE", "LOCAL_RANK", {"LOCAL_WORLD_SIZE", "LOCAL_SIZE"}, {"GROUP_RANK", "NODE_RANK", "CROSS_RANK"}};
constexpr Names kSlurm = {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", {"SLURM_NTASKS_PER_NODE"}, {"SLURM_NODEID"}};
constexpr int kCandidatePorts = 16;
constexpr int kLastPort = 65535;

class Variables {
 public:
  explicit Variables(const ReadVariable& read) : read_(read) {}

  bool has(const char* name) const { return text(name).has_value(); }
  std::optional<std::string> text(const char* name) const {
    auto value = read_(name);
    if (value && value->empty()) value.reset();
    return value;
  }

  // A whole number >= smallest, or nothing when the variable is absent or empty.
  std::optional<int> number(const char* name, int smallest) const {
    const auto value = text(name);
    if (!value) return std::nullopt;
    int parsed = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), parsed);
    if (error != std::errc() || end != value->data() + value->size() || parsed < smallest) {
      throw ConfigError(
          fmt::format("environment variable {}='{}' is not a whole number of at least {}; correct or unset it", name, *value, smallest));
    }
    return parsed;
  }

  // One number under several names, which must agree.
  std::optional<int> number(std::span<const char* const> names, int smallest) const {
    std::optional<int> agreed;
    const char* said_by = nullptr;
    for (const char* name : names) {
      const auto value = name == nullptr ? std::nullopt : number(name, smallest);
      if (value && agreed && *value != *agreed)
        throw ConfigError(fmt::format(
            "environment variables contradict each other: {}={} but {}={}; unset those that the launcher of this run did not set", said_by,
            *agreed, name, *value));
      if (value) agreed = value, said_by = name;
    }
    return agreed;
  }

 private:
  const ReadVariable& read_;
};

// What one launcher says, or nothing when it says nothing.
std::optional<LaunchEnvironment> told_by(const Names& names, const Variables& variables) {
  const auto rank = variables.number(names.rank, 0), world = variables.number(names.world, 1);
  if (!rank && !world) return std::nullopt;
  if (!rank || !world) {
    const char* set = rank ? names.rank : names.world;
    const char* missing = rank ? names.world : names.rank;
    throw ConfigError(fmt::format("environment variable {}={} is set but {} is not; a launcher sets both: set the other or unset this one",
                                  set, rank ? *rank : *world, missing));
  }
  if (*rank >= *world) {
    throw ConfigError(
        fmt::format("environment variables contradict each other: {}={} is not below {}={}", names.rank, *rank, names.world, *world));
  }
  LaunchEnvironment told;
  told.rank = *rank;
  told.world = *world;
  told.source = names.world;
  told.local_rank = variables.number(names.local_rank, 0).value_or(0);
  told.local_world = variables.number(names.local_world, 1).value_or(told.local_rank + 1);
  told.node = variables.number(names.node, 0).value_or(0);
  return told;
}

void require_agreement(const LaunchEnvironment& ours, const Names& our_names, const LaunchEnvironment& other, const Names& other_names) {
  if (ours.rank == other.rank && ours.world == other.world) return;
  throw ConfigError(fmt::format(
      "environment variables contradict each other: {}={} {}={} but {}={} {}={}; unset those that the launcher of this run did not set",
      our_names.rank, ours.rank, our_names.world, ours.world, other_names.rank, other.rank, other_names.world, other.world));
}

void require_local_in_range(const LaunchEnvironment& told, const Names& names) {
  if (told.local_rank < told.local_world && told.local_world <= told.world) return;
  throw ConfigError(fmt::format("environment variables contradict each other: {}={} {}={} of {}={}", names.local_rank, told.local_rank,
                                names.local_world.front(), told.local_world, names.world, told.world));
}
// MASTER_ADDR and MASTER_PORT. torchrun's agent listens at MASTER_PORT itself, for a store that speaks torch's protocol: ours goes to one
// of the next ports. `thinwire launch` may have guessed that its port is free, and says so.
std::optional<Meeting> told_by_master(const Variables& variables) {
  const auto host = variables.text("MASTER_ADDR");
  const auto port = variables.number("MASTER_PORT", 1);
  if (!host || !port) return std::nullopt;
  if (*port > kLastPort) throw ConfigError(fmt::format("environment variable MASTER_PORT='{}' is no port", *port));
  Meeting meeting;
  meeting.host = *host;
  meeting.port = *port;
  meeting.source = "MASTER_ADDR and MASTER_PORT";
  meeting.is_local = *host == "localhost" || *host == "::1" || host->starts_with("127.");
  const auto own_launch = variables.text("THINWIRE_RUN"), torchrun = variables.text("TORCHELASTIC_RUN_ID");
  if (torchrun && !own_launch) {
    meeting.port = *port + kCandidatePorts <= kLastPort ? *port + 1 : *port - kCandidatePorts;
    meeting.source = "a port next to MASTER_PORT, at MASTER_ADDR";
  }
  const bool is_guessed = own_launch ? variables.has("THINWIRE_GUESSED_PORT") : torchrun.has_value();
  if (is_guessed) meeting.num_ports = std::min(kCandidatePorts, kLastPort - meeting.port + 1);
  meeting.run = fmt::format("{} at {}:{}, start {}", own_launch.value_or(torchrun.value_or("ranks")), *host, *port,
                            variables.text("TORCHELASTIC_RESTART_COUNT").value_or("0"));
  return meeting;
}

// The first host of the step, and a port that depends on the job, so that jobs that share a host do not meet.
std::optional<Meeting> told_by_slurm(const Variables& variables) {
  const auto job = variables.number(std::array{"SLURM_JOB_ID", "SLURM_JOBID"}, 0);
  auto nodes = variables.text("SLURM_STEP_NODELIST");
  if (!nodes) nodes = variables.text("SLURM_NODELIST");
  if (!nodes) nodes = variables.text("SLURM_JOB_NODELIST");
  if (!job || !nodes) return std::nullopt;
  constexpr int kFirstPort = 20000, kBlocks = 600;  // below what systems hand out by themselves
  const int step = variables.number("SLURM_STEP_ID", 0).value_or(0);
  Meeting meeting;
  meeting.host = first_host(*nodes);
  meeting.num_ports = kCandidatePorts;
  meeting.source = "the first host of SLURM_NODELIST, and a port from SLURM_JOB_ID";
  meeting.port = kFirstPort + static_cast<int>((int64_t{*job} * 7 + step) % kBlocks) * kCandidatePorts;
  meeting.run = fmt::format("Slurm job {} step {}, start {}", *job, step, variables.text("SLURM_RESTART_COUNT").value_or("0"));
  return meeting;
}
}  // namespace

LaunchEnvironment detect_environment(const ReadVariable& read) {
  const Variables variables(read);
  auto open_mpi = told_by(kOpenMpi, variables);
  auto torchrun = told_by(kTorchrun, variables);
  // Slurm counts tasks in its batch script too; only within a step does one of them run this process.
  std::optional<LaunchEnvironment> slurm;
  if (variables.has("SLURM_STEP_ID") && variables.has(kSlurm.rank) && variables.has(kSlurm.world) && !open_mpi)
    slurm = told_by(kSlurm, variables);

  if (open_mpi) {  // a Slurm step around it is that of mpirun's daemons: it says nothing about us
    if (torchrun) require_agreement(*open_mpi, kOpenMpi, *torchrun, kTorchrun);
    require_local_in_range(*open_mpi, kOpenMpi);
    open_mpi->has_mpi = true;
    open_mpi->meeting = told_by_master(variables);
    return *open_mpi;
  }
  const bool speaks_pmix = variables.has("PMIX_RANK");
  if (torchrun) {
    const bool is_step_task = slurm && !variables.has("TORCHELASTIC_RUN_ID") &&
                              !variables.has("THINWIRE_RUN");  // else the step's tasks are torchruns, fewer than the ranks
    if (is_step_task) require_agreement(*torchrun, kTorchrun, *slurm, kSlurm);
    require_local_in_range(*torchrun, kTorchrun);
    torchrun->has_mpi = is_step_task && speaks_pmix;
    torchrun->meeting = told_by_master(variables);
    if (!torchrun->meeting && is_step_task) torchrun->meeting = told_by_slurm(variables);
    return *torchrun;
  }
  if (slurm) {
    slurm->local_world =
        std::min(slurm->world, std::max(slurm->local_world, slurm->local_rank + 1));  // may be the batch job's, not the step's
    slurm->has_mpi = speaks_pmix;
    slurm->meeting = told_by_master(variables);
    if (!slurm->meeting) slurm->meeting = told_by_slurm(variables);
    return *slurm;
  }
  return {};
}

LaunchEnvironment detect_environment() {
  return detect_environment([](const char* name) { return environment_variable(name); });
}

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

std::vector<std::string> environment_variables(std::string_view prefix) {
  std::vector<std::string> found;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    if (std::string_view(*at).substr(0, prefix.size()) == prefix) found.emplace_back(*at);
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace thinwire::comm

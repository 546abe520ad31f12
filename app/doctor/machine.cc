#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <filesystem>

#include "app/doctor/checks.h"
#include "base/cores.h"
#include "base/memory.h"
#include "base/text.h"
#include "trainer/run_directory.h"

namespace thinwire::app::doctor {

namespace fs = std::filesystem;

namespace {

constexpr double kLeastShm = 64e6;  // what Docker gives, of which Open MPI takes some for each rank
constexpr double kLeastDisk = 1e9;
constexpr double kLeastMemory = 1e9;

std::string number(double value) { return fmt::format("{:g}", value); }

Findings check_cores(const Patient& patient) {
  const long all = sysconf(_SC_NPROCESSORS_ONLN);
  const int allowed = bound_cores(), ranks = patient.environment.local_world;
  const auto quota = cgroup_limits().cpus;
  const auto threads = patient.options.run.threads;
  const auto omp = comm::environment_variable("OMP_NUM_THREADS");
  Findings findings;
  const std::string value = fmt::format("{} of {} for this process{}", allowed, all, quota ? ", " + number(*quota) + " by its cgroup" : "");
  if (all > 1 && allowed == 1 && ranks >= 1 && !patient.environment.started_alone()) {
    findings.push_back(note("cores", "cores", value + ": bound to one, which its communication threads share", "mpirun --bind-to none"));
  } else {
    findings.push_back({"cores", "cores", value});
  }
  const double usable = usable_cores();
  // Ranks that are bound have their own; those that are not share them all.
  const double wanted = static_cast<double>(threads) * (allowed < all ? 1 : ranks);
  const std::string threads_value = fmt::format("run.threads {}, OMP_NUM_THREADS {}, ranks here {}", threads, omp.value_or("unset"), ranks);
  if (wanted > usable)
    findings.push_back(note("cores", "threads", threads_value + ": more than there are cores", "fewer ranks, or a lower run.threads"));
  else
    findings.push_back({"cores", "threads", threads_value});
  return findings;
}

Findings check_memory() {
  Findings findings;
  const auto limits = cgroup_limits();
  findings.push_back({"memory", "cgroup limit", limits.memory_bytes ? human_bytes(*limits.memory_bytes) : "none"});
  if (const auto available = available_memory()) {
    const std::string value = fmt::format("{} ({})", human_bytes(available->bytes), available->limit);
    findings.push_back(available->bytes >= kLeastMemory ? Finding{"memory", "available", value}
                                                        : bad(ExitCode::out_of_memory, "memory", "available", value,
                                                              "end other programs, or raise the limit that is named"));
  }
  return findings;
}

Findings check_disks(const Patient& patient) {
  Findings findings;
  std::error_code failed;
  const auto shm = fs::space("/dev/shm", failed);
  if (failed) {
    findings.push_back(note("disks", "/dev/shm", "not there: ranks of MPI on one host talk through it", "mount -t tmpfs tmpfs /dev/shm"));
  } else {
    const std::string value = human_bytes(static_cast<double>(shm.available)) + " free";
    findings.push_back(
        static_cast<double>(shm.available) >= kLeastShm
            ? Finding{"disks", "/dev/shm", value}
            : note("disks", "/dev/shm", value, "mount -o remount,size=1G /dev/shm; in a container: docker run --shm-size=1g"));
  }
  const fs::path runs = trainer::nearest_existing(patient.options.run.dir);
  const auto disk = fs::space(runs, failed);
  const std::string value = fmt::format("{} free in {}", human_bytes(static_cast<double>(disk.available)), runs.string());
  if (const std::string why = trainer::why_not_made(runs); !why.empty()) {
    findings.push_back(bad(ExitCode::usage, "disks", "run.dir", why, "choose another run.dir"));
  } else if (!failed && static_cast<double>(disk.available) < kLeastDisk) {
    findings.push_back(
        note("disks", "run.dir", value, "free some space, or choose another run.dir; `thinwire estimate` says what checkpoints take"));
  } else {
    findings.push_back({"disks", "run.dir", value});
  }
  return findings;
}

}  // namespace

Findings check_machine(const Patient& patient) {
  Findings findings = check_cores(patient);
  for (auto&& part : {check_memory(), check_disks(patient)}) findings.insert(findings.end(), part.begin(), part.end());
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  findings.push_back({"clock", "time", text});
  return findings;
}

}  // namespace thinwire::app::doctor

// How much memory this process has, and how much more it may have.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace thinwire {

int64_t resident_bytes();       // of this process, now
int64_t peak_resident_bytes();  // the most that it ever had

struct AvailableMemory {
  double bytes = 0;
  bool of_process = false;  // each process may have so much; else all of the host together
  std::string limit;        // what sets it, for people: "MemAvailable and swap of this host", "the limit of this process's cgroup, 4.00GB"
};

// What could be had until something refuses: the host's free and reclaimable memory with its swap, or less where a cgroup (version 1 or 2)
// or RLIMIT_AS allows less. nullopt where the system does not say. `root`: of /proc and /sys, for tests.
std::optional<AvailableMemory> available_memory(const std::filesystem::path& root = "/");

// Limits of this process's cgroup, the tightest of it and its parents; nullopt: none, or not known.
struct CgroupLimits {
  std::optional<double> memory_bytes;
  double memory_used_bytes = 0;  // of the one that sets memory_bytes, without file pages that can be dropped
  std::optional<double> cpus;
};
CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

}  // namespace thinwire

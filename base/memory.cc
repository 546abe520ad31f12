#include "base/memory.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/text.h"

namespace thinwire {

namespace fs = std::filesystem;

namespace {

constexpr double kUnlimited = 4e18;  // version 1 writes the largest whole number of pages

std::optional<double> number_in(const fs::path& path) {
  std::ifstream file(path);
  double value = 0;
  if (!(file >> value)) return std::nullopt;  // "max" too
  return value;
}

// "MemAvailable:  123 kB", "inactive_file 123": the number behind a name at the beginning of a line.
std::optional<double> named_in(const fs::path& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    double value = 0;
    if (words >> first >> value && first == name) return value;
  }
  return std::nullopt;
}

// A folder and those above it, down from `mount`; what lies outside this process's view is skipped.
template <class Visit>
void for_each_group(const fs::path& mount, fs::path group, Visit&& visit) {
  group = group.relative_path();
  for (;; group = group.parent_path()) {
    visit(mount / group);
    if (group.empty()) return;
  }
}

void take_memory(CgroupLimits& limits, const fs::path& group, const char* limit, const char* used, const char* droppable) {
  const auto most = number_in(group / limit);
  if (!most || *most > kUnlimited || (limits.memory_bytes && *limits.memory_bytes <= *most)) return;
  limits.memory_bytes = *most;
  limits.memory_used_bytes = number_in(group / used).value_or(0) - named_in(group / "memory.stat", droppable).value_or(0);
}

void take_cpus(CgroupLimits& limits, std::optional<double> quota, std::optional<double> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return;
  limits.cpus = std::min(limits.cpus.value_or(*quota / *period), *quota / *period);
}

void take_version_2(CgroupLimits& limits, const fs::path& group) {
  take_memory(limits, group, "memory.max", "memory.current", "inactive_file");
  std::ifstream file(group / "cpu.max");  // "200000 100000"
  double quota = 0, period = 0;
  if (file >> quota >> period) take_cpus(limits, quota, period);
}

}  // namespace

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

int64_t peak_resident_bytes() { return static_cast<int64_t>(named_in("/proc/self/status", "VmHWM:").value_or(0)) * 1024; }

CgroupLimits cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  const fs::path mount = root / "sys/fs/cgroup";
  std::ifstream groups(root / "proc/self/cgroup");  // "0::/a/b"; version 1: "4:memory:/a/b", "7:cpu,cpuacct:/a/b"
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1)), group = line.substr(second + 1);
    if (controllers == ",,") for_each_group(mount, group, [&](const fs::path& at) { take_version_2(limits, at); });
    if (controllers.find(",memory,") != std::string::npos) {
      for_each_group(mount / "memory", group, [&](const fs::path& at) {
        take_memory(limits, at, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
      });
    }
    if (controllers.find(",cpu,") != std::string::npos) {
      for_each_group(mount / "cpu", group, [&](const fs::path& at) {
        take_cpus(limits, number_in(at / "cpu.cfs_quota_us"), number_in(at / "cpu.cfs_period_us"));
      });
    }
  }
  return limits;
}

std::optional<AvailableMemory> available_memory(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  const auto kilobytes = named_in(meminfo, "MemAvailable:");
  if (!kilobytes) return std::nullopt;
  const double swap = 1024 * named_in(meminfo, "SwapFree:").value_or(0);
  AvailableMemory available{1024 * *kilobytes + swap, false, swap > 0 ? "free memory and swap of this host" : "free memory of this host"};
  if (const auto limits = cgroup_limits(root); limits.memory_bytes && *limits.memory_bytes - limits.memory_used_bytes < available.bytes) {
    available.bytes = std::max(0.0, *limits.memory_bytes - limits.memory_used_bytes);
    available.limit = fmt::format("this process's cgroup is limited to {}", human_bytes(*limits.memory_bytes));
  }
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
    const double mapped = 1024 * named_in(root / "proc/self/status", "VmSize:").value_or(0);
    const double left = std::max(0.0, static_cast<double>(address_space.rlim_cur) - mapped);
    if (left < available.bytes)
      available = {left, true,
                   fmt::format("this process is limited to {} of address space (ulimit -v)",
                               human_bytes(static_cast<double>(address_space.rlim_cur)))};
  }
  return available;
}

}  // namespace thinwire

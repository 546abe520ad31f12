#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <vector>

namespace thinwire {
namespace {

namespace fs = std::filesystem;

// A /proc and /sys of a test's own.
class FakeRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "thinwire-memory-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    write("proc/meminfo", "MemTotal:       16000 kB\nMemFree:          100 kB\nMemAvailable:    8000 kB\nSwapFree:        1000 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(FakeRoot, AvailableIsWhatTheHostHasAndItsSwap) {
  const auto available = available_memory(root_);
  ASSERT_TRUE(available);
  EXPECT_EQ(available->bytes, 9000 * 1024);
  EXPECT_FALSE(available->of_process);
  EXPECT_NE(available->limit.find("swap"), std::string::npos);
}

TEST_F(FakeRoot, TheTightestOfACgroupAndItsParentsCounts) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/outer/memory.max", "3000000\n");
  write("sys/fs/cgroup/outer/memory.current", "1500000\n");
  write("sys/fs/cgroup/outer/memory.stat", "anon 7\ninactive_file 500000\n");
  write("sys/fs/cgroup/outer/inner/memory.max", "4000000\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "150000 100000\n");
  const auto limits = cgroup_limits(root_);
  EXPECT_EQ(limits.memory_bytes, 3000000.0);
  EXPECT_EQ(limits.memory_used_bytes, 1000000.0);
  EXPECT_EQ(limits.cpus, 1.5);
  const auto available = available_memory(root_);
  EXPECT_EQ(available->bytes, 2000000);
  EXPECT_NE(available->limit.find("3.00MB"), std::string::npos) << available->limit;
}

TEST_F(FakeRoot, VersionOneOfCgroupsIsRead) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000000\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4000000\n");
  write("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 1000000\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  const auto limits = cgroup_limits(root_);
  EXPECT_EQ(limits.memory_bytes, 5000000.0);
  EXPECT_EQ(limits.memory_used_bytes, 3000000.0);
  EXPECT_EQ(limits.cpus, std::nullopt);
}

TEST_F(FakeRoot, NothingIsClaimedWhereTheSystemDoesNotSay) {
  write("proc/meminfo", "MemTotal: 16000 kB\n");
  EXPECT_FALSE(available_memory(root_));
  EXPECT_EQ(cgroup_limits(root_).memory_bytes, std::nullopt);
}

TEST(ProcessMemory, PeakIsAtLeastWhatIsResidentAfterAnAllocation) {
  constexpr int64_t kBytes = 64 << 20;
  const int64_t before = resident_bytes();
  {
    const std::vector<char> touched(kBytes, 1);
    EXPECT_GE(resident_bytes(), before + kBytes * 9 / 10);
  }
  EXPECT_GE(peak_resident_bytes(), before + kBytes * 9 / 10);
}

}  // namespace
}  // namespace thinwire

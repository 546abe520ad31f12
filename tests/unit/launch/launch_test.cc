#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "launch/failure.h"
#include "launch/hosts.h"
#include "launch/launcher.h"
#include "launch/output.h"

namespace thinwire::launch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Hosts, AreReadWithTheirSlots) {
  EXPECT_THAT(parse_hosts("# ours\nnode1 slots=4\n\n  node2   # one\nnode3 slots=2 # two\n", "hosts"),
              ElementsAre(Host{"node1", 4}, Host{"node2", 1}, Host{"node3", 2}));
}

TEST(Hosts, MistakesAreNamedWithFileAndLine) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"a\nnode1 slots=x", "hosts:2"}, {"node1 slots=0", "slots=0"},         {"node1 4", "'4'"},
      {"node1 slots=", "hosts:1"},     {"-oProxyCommand=x", "not the name"}, {"\n# no\n", "names no host"}};
  for (const auto& [text, words] : mistakes) {
    try {
      parse_hosts(text, "hosts");
      ADD_FAILURE() << "accepted " << text;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), HasSubstr(words));
    }
  }
}

TEST(Hosts, AreFilledOneAfterAnother) {
  const std::vector<Host> hosts = {{"a", 4}, {"b", 2}, {"c", 8}};
  EXPECT_THAT(fill(hosts, 5, "hosts"), ElementsAre(Host{"a", 4}, Host{"b", 1}));
  EXPECT_THAT(fill(hosts, 4, "hosts"), ElementsAre(Host{"a", 4}));
  EXPECT_THROW(fill(hosts, 15, "hosts"), ConfigError);
}

TEST(Hosts, WordsSurviveAShell) {
  EXPECT_EQ(quoted("a b"), "'a b'");
  EXPECT_EQ(quoted("it's $HOME; `x`"), "'it'\\''s $HOME; `x`'");
}

TEST(Failure, OthersAreBlamedByTheirMessages) {
  for (const char* text : {"rank 3: the shard is gone", "rank 12 on node7: x", "lost rank 1: Socket closed", "lost rank 1 on b: x"})
    EXPECT_TRUE(blames_another(text)) << text;
  for (const char* text :
       {"no message from rank 1 for 60 s", "rank", "rank x: y", "the rank 3 matrix", "lost", "ranks 1,3 of 4 did not come", ""})
    EXPECT_FALSE(blames_another(text)) << text;
}

End ended(int rank, int code, int signal, int64_t at_us, std::optional<std::string> reason = {}) {
  return {.rank = rank, .host = "h", .code = code, .signal = signal, .timestamp_us = at_us, .reason = std::move(reason)};
}

TEST(Failure, TheFirstIsTheEarliestOfThoseThatBlameNobody) {
  // Survivors often say that they lost a rank before its launcher has seen it die.
  const End ends[] = {ended(0, 5, 0, 100, "lost rank 2: Socket closed"), ended(1, 5, 0, 90, "rank 0: lost rank 2"),
                      ended(2, 0, SIGKILL, 200), ended(3, 0, 0, 10)};
  EXPECT_EQ(first_failure(ends)->rank, 2);
  const End by_time[] = {ended(0, 7, 0, 30, "non-finite"), ended(1, 7, 0, 20, "non-finite"), ended(2, 5, 0, 10, "rank 1: non-finite")};
  EXPECT_EQ(first_failure(by_time)->rank, 1);
  const End only_blame[] = {ended(0, 5, 0, 30, "lost rank 1: x"), ended(1, 0, 0, 10)};
  EXPECT_EQ(first_failure(only_blame)->rank, 0);
  const End well[] = {ended(0, 0, 0, 1), ended(1, 0, 0, 2)};
  EXPECT_FALSE(first_failure(well));
}

TEST(Failure, IsDescribedForPeople) {
  EXPECT_EQ(describe_end(ended(1, 5, 0, 0)), "rank 1 on h: exit code 5 (rendezvous or transport)");
  EXPECT_EQ(describe_end(ended(1, 99, 0, 0)), "rank 1 on h: exit code 99");
  EXPECT_THAT(describe_end(ended(1, 0, SIGKILL, 0)), HasSubstr("killed by SIGKILL (likely out of host memory"));
  EXPECT_THAT(describe_end(ended(1, 0, SIGSEGV, 0)), HasSubstr("killed by SIGSEGV"));
  EXPECT_EQ(exit_code_of(ended(1, 0, SIGKILL, 0)), 137);
  EXPECT_EQ(exit_code_of(ended(1, 7, 0, 0)), 7);
}

TEST(Failure, OfAHangIsBlamedOnTheRankThatTheReportNames) {
  const auto stuck =
      blame_for(ended(0, 6, 0, 0, "no progress for 3 s in barrier (x) at step 4: arrived 0, 1; missing 2; rank 2 on h is at step 4: y"));
  EXPECT_EQ(stuck.rank, 2);
  EXPECT_EQ(stuck.text, "rank 2 does not go on, reported by rank 0 on h: exit code 6 (no progress)");
  const auto two =
      blame_for(ended(1, 6, 0, 0, "rank 0: no progress for 3 s in barrier at step 4: arrived 0, 1; missing 2, 3; rank 2 on h"));
  EXPECT_EQ(two.rank, 2);
  EXPECT_EQ(two.text, "ranks 2, 3 do not go on, reported by rank 1 on h: exit code 6 (no progress)");
  const auto at_start = blame_for(ended(0, 5, 0, 0, "no message from rank 1 for 4 s in all_gather (locating the run)"));
  EXPECT_EQ(at_start.text, "rank 1 does not go on, reported by rank 0 on h: exit code 5 (rendezvous or transport)");
  for (const End& own : {ended(1, 6, 0, 0, "no progress for 600 s: rank 1 on h is at step 4: data batch"), ended(1, 7, 0, 0, "non-finite"),
                         ended(1, 0, SIGKILL, 0)}) {
    EXPECT_EQ(blame_for(own).rank, 1);
    EXPECT_EQ(blame_for(own).text, describe_end(own));
  }
}

TEST(Failure, OfAnotherHostsLauncherIsThatOfItsRanks) {
  EXPECT_EQ(describe_end(ended(kLauncher, 5, 0, 0)), "the ranks on h: exit code 5 (rendezvous or transport)");
}

TEST(Failure, OfSshIsOneOfTransportAndSaysHowToTryIt) {
  End lost = ended(kLauncher, 255, 0, 0);
  explain_ssh(lost);
  EXPECT_EQ(exit_code_of(lost), 5);
  EXPECT_EQ(blame_for(lost).text, "the ranks on h: exit code 5 (rendezvous or transport)");
  EXPECT_FALSE(blames_another(*lost.reason));
  for (const char* words : {"ssh cannot reach h", "`ssh -o BatchMode=yes h true`", "--nnodes", "need no ssh"})
    EXPECT_THAT(*lost.reason, HasSubstr(words));
  for (End other : {ended(kLauncher, 7, 0, 0), ended(kLauncher, 0, SIGHUP, 0), ended(0, 255, 0, 0)}) {
    const int code = exit_code_of(other);
    explain_ssh(other);
    EXPECT_EQ(exit_code_of(other), code);
    EXPECT_FALSE(other.reason);
  }
}

class Reports : public testing::Test {
 protected:
  Reports() { std::filesystem::create_directories(folder_); }
  ~Reports() override { std::filesystem::remove_all(folder_); }
  const std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("thinwire-launch-test-" + std::to_string(getpid()));
  const std::filesystem::path path_ = folder_ / "error.json";
};

TEST_F(Reports, TheFirstErrorOfAProcessStays) {
  const int64_t before = now_us();
  write_error_report(path_, ExitCode::data, "first \xff");
  write_error_report(path_, ExitCode::comm, "second");
  const auto report = read_error_report(path_);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->message, testing::StartsWith("first "));
  EXPECT_GE(report->timestamp_us, before);
  EXPECT_LE(report->timestamp_us, now_us());
}

TEST_F(Reports, WhatIsNoReportIsIgnored) {
  EXPECT_FALSE(read_error_report(path_));
  for (const char* text : {"", "{", "[]", "{}", R"({"message": "text"})", R"({"message": {"message": 1}, "timestamp_us": 1})",
                           R"({"message": {"message": "x"}, "timestamp_us": "1"})"}) {
    std::ofstream(path_) << text;
    EXPECT_FALSE(read_error_report(path_)) << text;
  }
  write_error_report(folder_ / "absent" / "error.json", ExitCode::data, "nobody reads this");
}

TEST_F(Reports, OutputGoesToItsFileWithWhatWasSaidBefore) {
  testing::internal::CaptureStderr();
  {
    Output output(false);
    output.read(Stream::out, "one\ntw");
    output.read(Stream::err, "[rank 1 h] warning: hot\n[rank 1 h] error: gone\n");
    output.open_file(path_);
    output.read(Stream::out, "o\nthree");
    output.end();
    EXPECT_THAT(output.last_lines(), ElementsAre("one", "[rank 1 h] warning: hot", "[rank 1 h] error: gone", "two", "three"));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "[rank 1 h] warning: hot\n")
      << "of other ranks than 0 the console shows warnings alone";
  std::ifstream file(path_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "one\n[rank 1 h] warning: hot\n[rank 1 h] error: gone\ntwo\nthree\n");
}

TEST(Launcher, OptionsThatDoNotFitAreRefused) {
  LaunchOptions options;
  options.ranks = 4;
  EXPECT_NO_THROW(check_options(options));
  EXPECT_EQ(world_of(options), 4);
  options.nodes = 3;
  EXPECT_EQ(world_of(options), 12);
  EXPECT_THROW(check_options(options), ConfigError);  // no rendezvous
  options.rendezvous = "node0:29500";
  EXPECT_NO_THROW(check_options(options));
  options.node = 3;
  EXPECT_THROW(check_options(options), ConfigError);
  options.node = 0;
  options.hostfile = "hosts";
  EXPECT_THROW(check_options(options), ConfigError);
}

}  // namespace
}  // namespace thinwire::launch

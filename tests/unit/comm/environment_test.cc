#include "comm/rendezvous/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace thinwire::comm {
namespace {

using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

LaunchEnvironment detect(const Variables& variables) {
  return detect_environment([&](const char* name) -> std::optional<std::string> {
    const auto at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  });
}

Variables operator+(Variables a, const Variables& b) {
  for (const auto& [name, value] : b) a[name] = value;
  return a;
}

const Variables kTorchrun = {{"RANK", "5"},         {"WORLD_SIZE", "8"},
                             {"LOCAL_RANK", "1"},   {"LOCAL_WORLD_SIZE", "4"},
                             {"MASTER_ADDR", "h0"}, {"TORCHELASTIC_RUN_ID", "none"}};
const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "5"},
                            {"OMPI_COMM_WORLD_SIZE", "8"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                            {"PMIX_RANK", "5"}};
const Variables kSlurmBatch = {{"SLURM_JOB_ID", "77"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "6"}, {"SLURM_NTASKS_PER_NODE", "3"}};
const Variables kSlurmStep = kSlurmBatch + Variables{{"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "5"}, {"SLURM_LOCALID", "2"}};

struct Told {
  const char* name;
  Variables variables;
  int rank, world, local_rank, local_world;
  const char* source;
  bool has_mpi;
};
class Detects : public testing::TestWithParam<Told> {};

TEST_P(Detects, WhatTheLauncherSays) {
  const Told& told = GetParam();
  const LaunchEnvironment found = detect(told.variables);
  EXPECT_EQ(found.rank, told.rank);
  EXPECT_EQ(found.world, told.world);
  EXPECT_EQ(found.local_rank, told.local_rank);
  EXPECT_EQ(found.local_world, told.local_world);
  EXPECT_EQ(found.source, told.source);
  EXPECT_EQ(found.started_alone(), found.source.empty());
  EXPECT_EQ(found.has_mpi, told.has_mpi);
}

const Told kTold[] = {
    {"Nobody", {}, 0, 1, 0, 1, "", false},
    {"Torchrun", kTorchrun, 5, 8, 1, 4, "WORLD_SIZE", false},
    {"RankAndWorldAlone", {{"RANK", "2"}, {"WORLD_SIZE", "3"}}, 2, 3, 0, 1, "WORLD_SIZE", false},
    {"EmptyMeansUnset", {{"RANK", ""}, {"WORLD_SIZE", ""}}, 0, 1, 0, 1, "", false},
    {"OpenMpi", kOpenMpi, 5, 8, 1, 4, "OMPI_COMM_WORLD_SIZE", true},
    {"OpenMpiAndTorchVariablesThatAgree", kOpenMpi + Variables{{"RANK", "5"}, {"WORLD_SIZE", "8"}}, 5, 8, 1, 4, "OMPI_COMM_WORLD_SIZE",
     true},
    {"OpenMpiInASlurmBatchJob", kOpenMpi + kSlurmBatch, 5, 8, 1, 4, "OMPI_COMM_WORLD_SIZE", true},
    {"OpenMpiUnderDaemonsOfASlurmStep", kOpenMpi + kSlurmStep, 5, 8, 1, 4, "OMPI_COMM_WORLD_SIZE", true},
    {"SlurmBatchScript", kSlurmBatch, 0, 1, 0, 1, "", false},
    {"SlurmStep", kSlurmStep, 5, 6, 2, 3, "SLURM_NTASKS", false},
    {"SlurmStepWithPmi2", kSlurmStep + Variables{{"PMI_RANK", "5"}}, 5, 6, 2, 3, "SLURM_NTASKS", false},
    {"SlurmStepWithPmix", kSlurmStep + Variables{{"PMIX_RANK", "5"}}, 5, 6, 2, 3, "SLURM_NTASKS", true},
    {"SlurmStepSmallerThanItsJobsNodes", kSlurmStep + Variables{{"SLURM_NTASKS", "2"}, {"SLURM_PROCID", "1"}, {"SLURM_LOCALID", "1"}}, 1, 2,
     1, 2, "SLURM_NTASKS", false},
    {"TorchrunsOfASlurmStep", kTorchrun + kSlurmStep, 5, 8, 1, 4, "WORLD_SIZE", false},
    {"SlurmStepAndTorchVariablesThatAgree", kSlurmStep + Variables{{"RANK", "5"}, {"WORLD_SIZE", "6"}}, 5, 6, 0, 1, "WORLD_SIZE", false},
};
INSTANTIATE_TEST_SUITE_P(Environment, Detects, testing::ValuesIn(kTold), [](const auto& of) { return of.param.name; });

const Variables kLaunch = {{"RANK", "1"},       {"WORLD_SIZE", "2"},          {"LOCAL_RANK", "1"},      {"LOCAL_WORLD_SIZE", "2"},
                           {"GROUP_RANK", "0"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "40000"}, {"THINWIRE_RUN", "abc"},
                           {"NODE_RANK", "0"}};

TEST(Environment, NamesOfOneThingAreInterchangeable) {
  EXPECT_EQ(detect({{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_SIZE", "4"}, {"CROSS_RANK", "1"}}).local_world, 4);
  EXPECT_EQ(detect({{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"NODE_RANK", "1"}}).node, 1);
  EXPECT_EQ(detect(kTorchrun + Variables{{"GROUP_RANK", "1"}}).node, 1);
  EXPECT_EQ(detect(kSlurmStep + Variables{{"SLURM_NODEID", "1"}}).node, 1);
}

TEST(Environment, RanksMeetWhereTheMasterVariablesSay) {
  const auto by_hand = detect({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h0"}, {"MASTER_PORT", "29500"}}).meeting;
  ASSERT_TRUE(by_hand);
  EXPECT_EQ(by_hand->host, "h0");
  EXPECT_EQ(by_hand->port, 29500);
  EXPECT_EQ(by_hand->num_ports, 1);
  EXPECT_FALSE(by_hand->is_local);
  EXPECT_FALSE(detect({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h0"}}).meeting);
  EXPECT_FALSE(detect({{"RANK", "0"}, {"WORLD_SIZE", "2"}}).meeting);
}

TEST(Environment, TorchrunsOwnPortIsLeftToItsAgent) {
  const Variables torchrun = kTorchrun + Variables{{"MASTER_PORT", "29500"}};
  const auto meeting = detect(torchrun).meeting;
  ASSERT_TRUE(meeting);
  EXPECT_EQ(meeting->port, 29501);
  EXPECT_EQ(meeting->num_ports, 16);
  EXPECT_NE(meeting->run, detect(torchrun + Variables{{"TORCHELASTIC_RESTART_COUNT", "1"}}).meeting->run)
      << "a process of an earlier start is another run's";
  EXPECT_NE(meeting->run, detect(torchrun + Variables{{"TORCHELASTIC_RUN_ID", "other"}}).meeting->run);
  const auto last = detect(kTorchrun + Variables{{"MASTER_PORT", "65530"}}).meeting;
  EXPECT_LE(last->port + last->num_ports - 1, 65535);
  EXPECT_FALSE(last->port <= 65530 && 65530 < last->port + last->num_ports);
}

TEST(Environment, OurLaunchersPortIsFirstTriedItself) {
  const auto local = detect(kLaunch + Variables{{"THINWIRE_GUESSED_PORT", "1"}}).meeting;
  EXPECT_EQ(local->port, 40000);
  EXPECT_EQ(local->num_ports, 16);
  EXPECT_TRUE(local->is_local);
  EXPECT_EQ(detect(kLaunch).meeting->num_ports, 1) << "a port that somebody chose";
  EXPECT_EQ(detect(kLaunch + Variables{{"MASTER_ADDR", "node0"}}).meeting->num_ports, 1) << "what a firewall lets through";
  EXPECT_EQ(detect(kLaunch + kSlurmStep + Variables{{"SLURM_NTASKS", "1"}, {"SLURM_PROCID", "0"}}).world, 2)
      << "a launcher in a step of Slurm";
}

TEST(Environment, SlurmStepsMeetOnTheirFirstHostAtAPortOfTheirOwn) {
  const Variables step = kSlurmStep + Variables{{"SLURM_NODELIST", "node[03-05,11]"}};
  const auto meeting = detect(step).meeting;
  ASSERT_TRUE(meeting);
  EXPECT_EQ(meeting->host, "node03");
  EXPECT_EQ(meeting->port, 20000 + 16 * (7 * 77 % 600));  // docs/launch.md
  EXPECT_EQ(meeting->num_ports, 16);
  const auto next = detect(step + Variables{{"SLURM_STEP_ID", "1"}}).meeting;
  EXPECT_EQ(next->port, meeting->port + 16);
  EXPECT_NE(next->run, meeting->run);
  EXPECT_EQ(detect(step + Variables{{"SLURM_STEP_NODELIST", "node05"}}).meeting->host, "node05");
  EXPECT_EQ(detect(step + Variables{{"MASTER_ADDR", "h"}, {"MASTER_PORT", "5"}}).meeting->host, "h") << "who sets these knows better";
}

struct Refused {
  const char* name;
  Variables variables;
  std::vector<const char*> words;
};
class Refuses : public testing::TestWithParam<Refused> {};

TEST_P(Refuses, AndNamesTheVariables) {
  try {
    detect(GetParam().variables);
    FAIL() << "accepted";
  } catch (const ConfigError& e) {
    for (const char* word : GetParam().words) EXPECT_THAT(e.what(), HasSubstr(word));
  }
}

const Refused kRefused[] = {
    {"NoNumber", {{"RANK", "x"}, {"WORLD_SIZE", "2"}}, {"RANK='x'"}},
    {"TrailingText", {{"RANK", "0"}, {"WORLD_SIZE", "2 "}}, {"WORLD_SIZE='2 '"}},
    {"Negative", {{"RANK", "-1"}, {"WORLD_SIZE", "2"}}, {"RANK='-1'"}},
    {"TooBigForAnInt", {{"RANK", "0"}, {"WORLD_SIZE", "99999999999"}}, {"WORLD_SIZE='99999999999'"}},
    {"EmptyWorld", {{"RANK", "0"}, {"WORLD_SIZE", "0"}}, {"WORLD_SIZE='0'"}},
    {"RankBeyondWorld", {{"RANK", "2"}, {"WORLD_SIZE", "2"}}, {"RANK=2", "WORLD_SIZE=2"}},
    {"WorldWithoutRank", {{"WORLD_SIZE", "2"}}, {"WORLD_SIZE=2", "RANK"}},
    {"RankWithoutWorld", {{"OMPI_COMM_WORLD_RANK", "1"}}, {"OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE"}},
    {"WorldOtherThanOpenMpis", kOpenMpi + Variables{{"RANK", "5"}, {"WORLD_SIZE", "16"}}, {"OMPI_COMM_WORLD_SIZE=8", "WORLD_SIZE=16"}},
    {"RankOtherThanOpenMpis", kOpenMpi + Variables{{"RANK", "4"}, {"WORLD_SIZE", "8"}}, {"OMPI_COMM_WORLD_RANK=5", "RANK=4"}},
    {"WorldOtherThanTheSlurmSteps", kSlurmStep + Variables{{"RANK", "5"}, {"WORLD_SIZE", "8"}}, {"WORLD_SIZE=8", "SLURM_NTASKS=6"}},
    {"LocalRankBeyondLocalWorld", kTorchrun + Variables{{"LOCAL_RANK", "4"}}, {"LOCAL_RANK=4", "LOCAL_WORLD_SIZE=4"}},
    {"LocalWorldsThatDiffer", kTorchrun + Variables{{"LOCAL_SIZE", "2"}}, {"LOCAL_WORLD_SIZE=4", "LOCAL_SIZE=2"}},
    {"NodesThatDiffer", kTorchrun + Variables{{"GROUP_RANK", "1"}, {"NODE_RANK", "0"}}, {"GROUP_RANK=1", "NODE_RANK=0"}},
    {"PortBeyondAll", kTorchrun + Variables{{"MASTER_PORT", "65536"}}, {"MASTER_PORT='65536'"}},
    {"NodeListThatIsNone", kSlurmStep + Variables{{"SLURM_NODELIST", "node["}}, {"node["}},
    {"SlurmStepNoNumber", kSlurmStep + Variables{{"SLURM_PROCID", "a"}}, {"SLURM_PROCID='a'"}},
};
INSTANTIATE_TEST_SUITE_P(Environment, Refuses, testing::ValuesIn(kRefused), [](const auto& of) { return of.param.name; });

TEST(Environment, ReadsTheProcessAndTellsUnsetFromEmpty) {
  setenv("THINWIRE_TEST_VARIABLE", "", 1);
  EXPECT_EQ(environment_variable("THINWIRE_TEST_VARIABLE"), "");
  unsetenv("THINWIRE_TEST_VARIABLE");
  EXPECT_EQ(environment_variable("THINWIRE_TEST_VARIABLE"), std::nullopt);
}

TEST(Environment, ListsVariablesByTheirPrefix) {
  setenv("THINWIRE_LISTED_B", "2=3", 1);
  setenv("THINWIRE_LISTED_A", "", 1);
  EXPECT_THAT(environment_variables("THINWIRE_LISTED_"), testing::ElementsAre("THINWIRE_LISTED_A=", "THINWIRE_LISTED_B=2=3"));
  EXPECT_THAT(environment_variables("THINWIRE_UNLISTED_"), testing::IsEmpty());
}

}  // namespace
}  // namespace thinwire::comm

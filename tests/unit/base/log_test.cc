#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace thinwire::log {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class LogFile : public testing::Test {
 protected:
  ~LogFile() override { std::filesystem::remove_all(folder_); }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  }
  const std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / ("thinwire-log-" + std::to_string(getpid()));
  const std::filesystem::path path_ = folder_ / "logs" / "rank_00000.log";
};

TEST_F(LogFile, HoldsWhatWasSaidBeforeItWasOpenedToo) {
  std::thread([this] {
    set_rank(0);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    info("resumed");
    warn("skipping a checkpoint");
    open_file(path_);
    info("step 1");
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "resumed\nstep 1\n");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "[rank 0 " + host_name() + "] warning: skipping a checkpoint\n");
  }).join();
  const std::string time = "[0-9]+-[0-9]+-[0-9]+T[0-9:.]+ ";
  EXPECT_THAT(lines(), ElementsAre(MatchesRegex(time + "info resumed"), MatchesRegex(time + "warning skipping a checkpoint"),
                                   MatchesRegex(time + "info step 1")));
}

TEST_F(LogFile, IsOfOneRankAndOfEveryThreadThatWorksForIt) {
  std::thread([this] {
    set_rank(3);
    info("said by the rank");  // not on the console
    std::thread([log = current()] {
      adopt(log);
      info("said for it");
    }).join();
    std::thread([] {
      set_rank(4);
      info("said by another");
    }).join();
    open_file(path_);
  }).join();
  EXPECT_THAT(lines(), ElementsAre(testing::EndsWith("said by the rank"), testing::EndsWith("said for it")));
}

}  // namespace
}  // namespace thinwire::log

#include "base/progress.h"

#include <gmock/gmock.h>

namespace thinwire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

class Lines {
 public:
  Progress progress(double every_s, Progress::Amount amount = human_bytes) {
    return Progress(
        amount, [this](const std::string& line) { lines.push_back(line); }, every_s);
  }
  std::vector<std::string> lines;
};

TEST(Progress, SaysWhatIsDoneOfHowMuchAndHowLongItTakes) {
  Lines told;
  Progress progress = told.progress(0);
  progress.tell("encoding", 12e6, 120e6);
  progress.tell("encoding", 120e6, 120e6);
  EXPECT_THAT(told.lines, ElementsAre(MatchesRegex("encoding: 12\\.00MB of 120\\.00MB \\(10 %\\), about [0-9]+ s more"),
                                      "encoding: 120.00MB of 120.00MB (100 %)"));
}

TEST(Progress, SaysHowMuchWhereTheWholeIsNotKnown) {
  Lines told;
  told.progress(0).tell("reading", 5e6, 0);
  EXPECT_THAT(told.lines, ElementsAre("reading: 5.00MB"));
}

TEST(Progress, WritesOtherAmountsToo) {
  Lines told;
  told.progress(0, [](double tokens) { return with_thousands(static_cast<int64_t>(tokens)) + " tokens"; }).tell("scoring", 4096, 4096);
  EXPECT_THAT(told.lines, ElementsAre("scoring: 4,096 tokens of 4,096 tokens (100 %)"));
}

TEST(Progress, IsSilentOfWorkThatIsDoneSoon) {
  Lines told;
  Progress progress = told.progress(3600);
  for (int i = 0; i < 1000; ++i) progress.tell("reading", i, 1000);
  EXPECT_THAT(told.lines, IsEmpty());
}

}  // namespace
}  // namespace thinwire

#include "trainer/record_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/error.h"
#include "tests/support/small_files.h"

namespace thinwire::trainer {
namespace {

namespace fs = std::filesystem;
using test::SmallFiles;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

class Records : public testing::Test {
 protected:
  Records() { fs::create_directories(root_); }
  ~Records() override { fs::remove_all(root_); }
  std::string contents() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }
  const fs::path root_ = fs::path(testing::TempDir()) / ("record_file_test_" + std::to_string(getpid()));
  const fs::path path_ = root_ / "metrics.jsonl";
};

std::string line(char letter) { return std::string(1499, letter) + '\n'; }

TEST_F(Records, AreAppendedToWhatIsThere) {
  EXPECT_TRUE(RecordFile(path_).append("one\n"));
  EXPECT_TRUE(RecordFile(path_).append("two\n"));
  EXPECT_EQ(contents(), "one\ntwo\n");
}

TEST_F(Records, OneThatDoesNotFitIsTakenBackAndLossIsToldTwice) {
  RecordFile file(path_);
  testing::internal::CaptureStderr();
  {
    const SmallFiles small(4096);  // two records and most of a third
    EXPECT_TRUE(file.append(line('a')));
    EXPECT_TRUE(file.append(line('b')));
    EXPECT_FALSE(file.append(line('c')));
    EXPECT_EQ(contents(), line('a') + line('b'));
    EXPECT_FALSE(file.append(line('d')));
    EXPECT_FALSE(file.append(line('e')));
  }
  EXPECT_TRUE(file.append(line('f')));
  EXPECT_TRUE(file.append(line('g')));
  EXPECT_EQ(contents(), line('a') + line('b') + line('f') + line('g'));
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      MatchesRegex("[^\n]*metrics.jsonl cannot be written: File too large[^\n]*\n[^\n]*metrics.jsonl is written again; 3 records are "
                   "lost\n"));
}

TEST_F(Records, ThatAreLostAtTheEndAreCountedThere) {
  testing::internal::CaptureStderr();
  {
    const SmallFiles small(4096);
    RecordFile file(path_);
    EXPECT_FALSE(file.append(std::string(5000, 'x')));
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("metrics.jsonl ends here; 1 record is lost\n"));
  EXPECT_THAT(contents(), IsEmpty());
}

TEST_F(Records, AFileThatCannotBeMadeIsAnErrorThatSaysWhy) {
  try {
    const RecordFile file(root_ / "no" / "metrics.jsonl");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("No such file or directory"));
  }
}

TEST_F(Records, HalfALineAtTheEndIsTakenOut) {
  const std::string long_line(200'000, 'x');  // longer than what is read at once
  const std::pair<std::string, std::string> cases[] = {{"", ""},
                                                       {"a\n", "a\n"},
                                                       {"half", ""},
                                                       {"a\n\nhalf", "a\n\n"},
                                                       {"a\n" + long_line, "a\n"},
                                                       {long_line, ""},
                                                       {long_line + "\nb\nc", long_line + "\nb\n"}};
  testing::internal::CaptureStderr();
  for (const auto& [before, after] : cases) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << before;
    take_out_half_line(path_);
    EXPECT_EQ(contents(), after);
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("ended in half a line, of 4 bytes"));
  fs::remove(path_);
  take_out_half_line(path_);
  EXPECT_FALSE(fs::exists(path_));
}

}  // namespace
}  // namespace thinwire::trainer

#include "base/output.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "tests/support/small_files.h"

namespace thinwire {
namespace {

namespace fs = std::filesystem;
using test::SmallFiles;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Output : public testing::Test {
 protected:
  Output() { fs::create_directories(root_); }
  ~Output() override { fs::remove_all(root_); }
  std::string read(const fs::path& path) const {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  std::vector<std::string> names() const {  // of all that is there
    std::vector<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) all.push_back(fs::relative(entry.path(), root_));
    std::sort(all.begin(), all.end());
    return all;
  }
  std::string refusal(const std::function<void()>& work) const {
    try {
      work();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::other);
      return e.what();
    }
    ADD_FAILURE() << "it was written";
    return "";
  }
  const fs::path root_ = fs::path(testing::TempDir()) / ("output_test_" + std::to_string(getpid()));
  const std::string large_ = std::string(10'000, 'x');
};

TEST_F(Output, ATextReplacesWhatWasThere) {
  write_text(root_ / "a" / "page", "old");
  write_text(root_ / "a" / "page", "new");
  EXPECT_EQ(read(root_ / "a" / "page"), "new");
  EXPECT_THAT(names(), ElementsAre("a", "a/page"));
}

TEST_F(Output, ATextThatDoesNotFitLeavesTheOldOneAndNothingElse) {
  write_text(root_ / "page", "old");
  const SmallFiles small(4096);
  for (const fs::path& path : {root_ / "page", root_ / "a" / "b" / "page"}) {
    EXPECT_THAT(refusal([&] { write_text(path, large_); }),
                AllOf(HasSubstr("cannot write " + path.string()), HasSubstr("File too large"), HasSubstr("free some space")));
  }
  EXPECT_EQ(read(root_ / "page"), "old");
  EXPECT_THAT(names(), ElementsAre("page"));
}

TEST_F(Output, AFolderIsThereWholeOrNotAtAll) {
  write_folder(root_ / "a" / "good" / "", [](const fs::path& folder) {
    write_text(folder / "one", "1");
    write_text(folder / "inner" / "two", "2");
  });
  const std::vector<std::string> good = {"a", "a/good", "a/good/inner", "a/good/inner/two", "a/good/one"};
  EXPECT_EQ(names(), good);
  const SmallFiles small(4096);
  EXPECT_THAT(refusal([&] {
                write_folder(root_ / "b" / "c", [&](const fs::path& folder) {
                  write_text(folder / "one", "1");
                  write_text(folder / "two", large_);
                });
              }),
              HasSubstr("two: File too large"));
  EXPECT_EQ(names(), good);
}

TEST_F(Output, NewFoldersGoWhereTheyStayedEmptyAndOthersStay) {
  fs::create_directories(root_ / "old");
  {
    const NewFolders folders(root_ / "old" / "a" / "b");
    fs::create_directories(root_ / "old" / "a" / "b");
  }
  EXPECT_THAT(names(), ElementsAre("old"));
  {
    const NewFolders folders(root_ / "old" / "a" / "b");
    fs::create_directories(root_ / "old" / "a" / "b");
    std::ofstream(root_ / "old" / "a" / "kept");
  }
  EXPECT_THAT(names(), ElementsAre("old", "old/a", "old/a/kept"));
}

TEST_F(Output, AnErrorSaysReasonAndFix) {
  EXPECT_THAT(output_error("out/page", ENOSPC).what(), HasSubstr("cannot write out/page: No space left on device; free some space there"));
  EXPECT_THAT(output_error("page", EROFS).what(), AllOf(HasSubstr("Read-only file system"), HasSubstr("where this user may")));
  std::ofstream(root_ / "file");
  EXPECT_THAT(refusal([&] { write_text(root_ / "file" / "page", "x"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(refusal([&] { OutputFile file(root_); }), HasSubstr("Is a directory"));
}

}  // namespace
}  // namespace thinwire

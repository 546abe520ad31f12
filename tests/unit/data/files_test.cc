#include <fmt/format.h>
#include <unistd.h>

#include "data/sources.h"
#include "data_files.h"

namespace thinwire::data {
namespace {

using TextSource = DataFiles;

std::string read(const std::vector<std::string>& patterns, int64_t max_bytes = kMaxCorpusBytes) {
  return as_text(read_text(patterns, max_bytes).bytes);
}

TEST_F(TextSource, ConcatenatesGlobsInByteOrderOfThePaths) {
  write("b.txt", "b\n");
  write("B.txt", "B\n");  // a locale's order would put it beside b
  write("a10.txt", "a10\n");
  write("a2.txt", "a2\n");
  write("a.md", "not this\n");
  EXPECT_EQ(read({path("*.txt")}), "B\na10\na2\nb\n");
}

TEST_F(TextSource, SortsAcrossPatternsNotWithinThem) {
  write("a.txt", "a\n");
  write("b.txt", "b\n");
  write("c.md", "c\n");
  EXPECT_EQ(read({path("c.md"), path("[b]*"), path("a.txt")}), "a\nb\nc\n");
}

TEST_F(TextSource, TakesAFileOnceHoweverOftenItIsNamed) {
  const std::string file = write("sub/a.txt", "a\n");
  std::filesystem::create_symlink(file, path("sub/z.txt"));
  EXPECT_EQ(read({file, file, path("sub/*.txt"), path("sub/../sub/./a.txt")}), "a\n");
}

TEST_F(TextSource, PutsANewlineBetweenFilesOnlyWhereOneIsMissing) {
  write("1", "one");
  write("2", "two\n");
  write("3", "three");
  EXPECT_EQ(read({path("*")}), "one\ntwo\nthree");
}

TEST_F(TextSource, TakesANameWithGlobCharactersLiterally) {
  const std::string file = write("notes [1].txt", "one\n");
  write("notes 1.txt", "another\n");
  EXPECT_EQ(read({file}), "one\n");
}

TEST_F(TextSource, MixesPackedAndPlainFiles) {
  pack("a.gz", "packed");
  pack("b.dz", "dictzip\n");
  write("c.txt", "plain");
  EXPECT_EQ(read({path("*")}), "packed\ndictzip\nplain");
}

TEST_F(TextSource, NoMatchTellsWhatTheDirectoryHolds) {
  for (const char* name : {"1", "2", "3", "4", "5", "6", "corpus.text"}) write(fmt::format("d/{}", name), "x");
  expect_data_error([&] { read({path("d/*.txt")}); },
                    {"data.files", path("d/*.txt"), path("d") + "' holds 1, 2, 3, 4, 5 and 2 more", "correct the path or pattern"});
  expect_data_error([&] { read({path("d/corpus.txt")}); }, {"did you mean 'corpus.text'?"});
}

TEST_F(TextSource, NoMatchBelowAMissingDirectoryTellsWhatItsParentHolds) {
  write("books/a.txt", "x");
  expect_data_error([&] { read({path("boks/*.txt")}); }, {path("boks/*.txt"), "holds books", "did you mean 'books'?"});
}

TEST_F(TextSource, OnePatternWithoutAMatchIsAnErrorThoughAnotherMatches) {
  const std::string file = write("a.txt", "a\n");
  expect_data_error([&] { read({file, path("b*")}); }, {path("b*"), "nothing matches"});
}

TEST_F(TextSource, ATildeIsExplained) {
  expect_data_error([&] { read({"~/no-such-corpus/*.txt"}); }, {"'~' is not expanded"});
}

TEST_F(TextSource, NoFilesAtAllNamesTheKey) {
  expect_data_error([&] { read({}); }, {"data.files"});
}

TEST_F(TextSource, RefusesADirectoryAndShowsAPattern) {
  write("d/a.txt", "a\n");
  expect_data_error([&] { read({path("d")}); }, {path("d"), "is a directory", path("d/*.txt")});
}

TEST_F(TextSource, RefusesAnEmptyFileAndAnEmptyGzip) {
  expect_data_error([&] { read({write("empty.txt", "")}); }, {path("empty.txt"), "is empty"});
  expect_data_error([&] { read({pack("empty.gz", "")}); }, {path("empty.gz"), "is empty"});
  expect_data_error([&] { read({write("nothing.gz", "")}); }, {path("nothing.gz"), "is empty"});
}

TEST_F(TextSource, RefusesALinkThatLeadsNowhere) {
  std::filesystem::create_symlink(path("gone"), path("link.txt"));
  expect_data_error([&] { read({path("*.txt")}); }, {path("link.txt"), "does not exist", "a link that leads nowhere"});
}

TEST_F(TextSource, RefusesADeviceInsteadOfReadingItForEver) {
  expect_data_error([] { read({"/dev/zero"}); }, {"/dev/zero", "neither a file"});
}

TEST_F(TextSource, ReportsAFailingReadWithItsOffset) {
  if (!std::filesystem::exists("/proc/self/mem")) GTEST_SKIP() << "needs /proc/self/mem, a regular file whose first byte cannot be read";
  expect_data_error([] { read({"/proc/self/mem"}); }, {"/proc/self/mem", "cannot be read at byte 0"});
}

TEST_F(TextSource, ReportsAFileThatMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const std::string file = write("secret.txt", "x");
  std::filesystem::permissions(file, std::filesystem::perms::none);
  expect_data_error([&] { read({file}); }, {file, "Permission denied"});
}

TEST_F(TextSource, ReportsADirectoryThatMayNotBeListedThoughOthersMatch) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may list every directory";
  write("open/a.txt", "a\n");
  write("shut/a.txt", "a\n");
  std::filesystem::permissions(path("shut"), std::filesystem::perms::none);
  expect_data_error([&] { read({path("*/*.txt")}); }, {path("*/*.txt"), "cannot be listed", "permissions"});
  std::filesystem::permissions(path("shut"), std::filesystem::perms::owner_all);
}

TEST_F(TextSource, RefusesMoreThanTheLimitPlainOrUnpacked) {
  const std::string plain = write("a.txt", letters(1001)), bomb = pack("b.gz", std::string(1'000'000, 'x'));
  EXPECT_EQ(read({plain}, 1001).size(), 1001u);
  expect_data_error([&] { read({plain}, 1000); }, {plain, "1.0kB", "fewer or smaller files"});
  expect_data_error([&] { read({bomb}, 900'000); }, {bomb, "0.90MB"});
  expect_data_error([&] { read({plain, write("c.txt", "c")}, 1001); }, {path("c.txt")});
}

}  // namespace
}  // namespace thinwire::data

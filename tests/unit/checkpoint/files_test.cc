#include "checkpoint/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "support.h"
#include "tests/support/small_files.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Files, ANewFileIsHashedAsItIsWritten) {
  TempDir dir;
  Files files;
  NewFile file(files, dir / "a");
  file.write(bytes_of(std::string_view("hello ")));
  file.write({});
  file.write(bytes_of(std::string_view("world")));
  EXPECT_EQ(file.finish(), (FileSummary{11, hash64("hello world")}));
  EXPECT_EQ(read(dir / "a"), "hello world");
  EXPECT_EQ(hash_file(InputFile(dir / "a")), (FileSummary{11, hash64("hello world")}));
}

TEST(Files, ReplacingLeavesOnlyTheNewText) {
  TempDir dir;
  Files files;
  replace_file(files, dir / "latest", dir / "t", "one");
  replace_file(files, dir / "latest", dir / "t", "two");
  EXPECT_EQ(read(dir / "latest"), "two");
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"latest"});
}

TEST(Files, RemovingATreeDoesNotFollowLinks) {
  TempDir dir;
  Files files;
  fs::create_directories(dir / "tree/inner");
  write(dir / "tree/inner/a", "x");
  write(dir / "kept", "precious");
  fs::create_symlink(dir / "kept", dir / "tree/link");
  fs::create_directory_symlink(dir.path(), dir / "tree/inner/loop");
  remove_tree(files, dir / "tree");
  remove_tree(files, dir / "tree");  // what is not there is fine
  EXPECT_EQ(read(dir / "kept"), "precious");
  EXPECT_EQ(names_in(dir.path()), std::vector<std::string>{"kept"});
}

TEST(Files, DirectoriesAreMadeWithTheirParents) {
  TempDir dir;
  Files files;
  make_directories(files, dir / "a/b/c");
  make_directories(files, dir / "a/b/c");
  EXPECT_TRUE(fs::is_directory(dir / "a/b/c"));
  write(dir / "file", "");
  EXPECT_THAT(error_of([&] { make_directories(files, dir / "file/b"); }), HasSubstr((dir / "file").string()));
}

TEST(Files, ErrorsNamePathAndReason) {
  TempDir dir;
  Files files;
  EXPECT_THAT(error_of([&] { files.create(dir / "no/a"); }), AllOf(HasSubstr("cannot create"), HasSubstr("no/a: No such file")));
  EXPECT_THAT(error_of([&] { files.rename(dir / "a", dir / "b"); }),
              AllOf(HasSubstr("cannot rename"), HasSubstr("to"), HasSubstr("No such")));
  EXPECT_THAT(error_of([&] { files.remove_file(dir / "a"); }), HasSubstr("cannot remove"));
  EXPECT_THAT(error_of([&] { files.make_directory(dir.path()); }), HasSubstr("File exists"));
  EXPECT_THAT(error_of([&] { files.sync_directory(dir / "a"); }), HasSubstr("No such"));
  write(dir / "long", "12345");
  EXPECT_THAT(error_of([&] { read_text(dir / "long", 4); }), HasSubstr("5 bytes; at most 4"));
}

TEST(Files, AFullDiskIsAnErrorThatSaysWhatToDo) {
  TempDir dir;
  const test::SmallFiles small(4096);
  Files files;
  EXPECT_THAT(error_of([&] { NewFile(files, dir / "big").write(std::vector<std::byte>(10'000)); }),
              AllOf(HasSubstr("File too large"), HasSubstr("free some space")));
  EXPECT_EQ(fs::file_size(dir / "big"), 4096u);  // the part that fitted was written before the error
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "checkpoint/checkpoint.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Listing, ShowsWhateverClaimsToBeOneByStep) {
  TempDir dir;
  save_model(dir.path(), 2, 20, 1);
  save_model(dir.path(), 2, 3, 1);
  save_model(dir.path(), 2, 40, 1);
  fs::remove(dir / "step-00000040/COMPLETE");
  const std::vector<Listing> listings = list(dir.path());
  ASSERT_EQ(listings.size(), 3u);
  EXPECT_EQ(listings[0].step, 3);
  EXPECT_EQ(listings[1].step, 20);
  EXPECT_EQ(listings[1].path, dir / "step-00000020");
  EXPECT_EQ(listings[1].world, 2);
  EXPECT_THAT(listings[1].created, ContainsRegex("^20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z$"));
  uint64_t bytes = 0;
  for (const char* name : {"model.safetensors", "rank-00000.safetensors", "rank-00001.safetensors"}) {
    bytes += fs::file_size(dir / ("step-00000020/" + std::string(name)));
  }
  EXPECT_EQ(listings[1].bytes, bytes);
  EXPECT_THAT(listings[1].defects, IsEmpty());
  EXPECT_EQ(listings[2].step, 40);
  EXPECT_EQ(listings[2].world, 0);
  EXPECT_THAT(listings[2].defects, ElementsAre(AllOf(HasSubstr("step-00000040 is incomplete"), HasSubstr("COMPLETE"))));
  EXPECT_THAT(list(dir / "nowhere"), IsEmpty());
}

TEST(Listing, NamesFilesThatAreGoneOrCutShortAsVerifyDoes) {
  TempDir dir;
  save_model(dir.path(), 2, 3, 1);
  const fs::path path = dir / "step-00000003", cut = path / "rank-00001.safetensors";
  fs::remove(path / "model.safetensors");
  fs::resize_file(cut, fs::file_size(cut) - 1);
  write(path / "rank-00000.safetensors.txt", "mine");
  const std::vector<std::string> defects = list(dir.path()).front().defects;
  EXPECT_THAT(defects, ElementsAre(AllOf(HasSubstr("model.safetensors"), HasSubstr("No such file")),
                                   AllOf(HasSubstr("rank-00001.safetensors is damaged"), HasSubstr("bytes instead of"))));
  EXPECT_EQ(defects, verify(path));
}

TEST(Listing, ReadsNoMoreThanHeaders) {
  TempDir dir;
  save_model(dir.path(), 2, 3, 1);
  const fs::path path = dir / "step-00000003/model.safetensors";
  flip_bit(path, fs::file_size(path) - 1);  // of a tensor
  EXPECT_THAT(list(dir.path()).front().defects, IsEmpty());
  EXPECT_THAT(verify(dir / "step-00000003"), ElementsAre(HasSubstr("is damaged")));
}

TEST(Listing, OneThatIsCodedAgainstADamagedOneIsDamagedToo) {
  TempDir dir;
  CheckpointOptions options{.keep = 0, .base = "previous"};
  for (const int64_t step : {10, 20, 30}) save_model(dir.path(), 1, step, static_cast<uint64_t>(step), options);
  std::vector<Listing> listings = list(dir.path());
  ASSERT_EQ(listings[1].base, 10);
  ASSERT_EQ(listings[2].base, 20);
  for (const Listing& listing : listings) EXPECT_THAT(listing.defects, IsEmpty()) << listing.step;
  const fs::path model = dir / "step-00000010/model.safetensors";
  fs::resize_file(model, fs::file_size(model) / 2);
  listings = list(dir.path());
  EXPECT_THAT(listings[0].defects, ElementsAre(HasSubstr("model.safetensors is damaged")));
  for (const size_t behind : {1, 2}) {
    EXPECT_THAT(listings[behind].defects,
                ElementsAre(AllOf(HasSubstr("is coded against step-"), HasSubstr("cannot be used"), HasSubstr("step-00000010/model"))))
        << behind;
  }
  fs::remove_all(dir / "step-00000010");
  listings = list(dir.path());
  ASSERT_EQ(listings.size(), 2u);
  for (const Listing& listing : listings) {
    EXPECT_THAT(listing.defects, ElementsAre(AllOf(HasSubstr("cannot be used"), HasSubstr("step-00000010 is gone")))) << listing.step;
  }
}

TEST(Listing, InspectTellsWhatIsInIt) {
  TempDir dir;
  save_model(dir.path(), 2, 20, 77);
  EXPECT_THAT(inspect(dir / "step-00000020"),
              AllOf(HasSubstr("step-00000020 of run 'trial'"), HasSubstr("ranks 2"), HasSubstr("config 0123456789abcdef"),
                    HasSubstr("rank-00001.safetensors"), HasSubstr("step = 77"), HasSubstr("replicated model/weight F32 [2, 3]"),
                    HasSubstr("per rank   residual/counter I64 []")));
  // 24 + 6 + 5120 bytes that both ranks have, and 20 + 8 + 3600 of each.
  EXPECT_THAT(inspect(dir / "step-00000020"), ContainsRegex("'model' +5\\.2kB  stored in +[0-9.]+kB  [0-9.]+\n(.*\n)*  all +12\\.4kB  "));
  EXPECT_THAT(error_of([&] { inspect(dir / "step-00000021"); }), HasSubstr("incomplete"));
}

class Verify : public ::testing::Test {
 protected:
  void SetUp() override {
    save_model(dir_.path(), 2, 20, 1);
    ASSERT_THAT(verify(path_), IsEmpty());
  }
  void rewrite_manifest(const std::string& from, const std::string& to) {
    std::string text = read(path_ / "manifest.json");
    text.replace(text.find(from), from.size(), to);
    write(path_ / "manifest.json", text);
    write(path_ / "COMPLETE", to_hex(hash64(text)) + "\n");
  }
  TempDir dir_;
  fs::path path_ = dir_ / "step-00000020";
};

TEST_F(Verify, WhatAGlanceSeesInspectTellsToo) {
  fs::resize_file(path_ / "model.safetensors", 10);
  EXPECT_THAT(inspect(path_), AllOf(HasSubstr("\ndamaged: "), HasSubstr("model.safetensors")));
}

TEST_F(Verify, FindsAFlippedBitInEveryFile) {
  for (const std::string& name : names_in(path_)) {
    const std::string before = read(path_ / name);
    flip_bit(path_ / name, before.size() - 1);
    EXPECT_THAT(verify(path_), ElementsAre(AllOf(HasSubstr("damaged"), HasSubstr(name == "COMPLETE" ? "manifest.json" : name)))) << name;
    write(path_ / name, before);
  }
}

TEST_F(Verify, ListsEveryDefect) {
  flip_bit(path_ / "rank-00000.safetensors", 9);
  fs::remove(path_ / "model.safetensors");
  EXPECT_THAT(verify(path_), AllOf(::testing::Contains(HasSubstr("rank-00000.safetensors is damaged")),
                                   ::testing::Contains(AllOf(HasSubstr("model.safetensors"), HasSubstr("No such file")))));
}

TEST_F(Verify, AFileThatIsNotTheCheckpointsIsNoDamage) {
  EXPECT_THAT(foreign_files(path_), IsEmpty());
  write(path_ / "notes.txt", "mine");
  write(path_ / "a.txt", "mine");
  EXPECT_THAT(verify(path_), IsEmpty());
  EXPECT_THAT(foreign_files(path_), ElementsAre((path_ / "a.txt").string(), (path_ / "notes.txt").string()));
}

TEST_F(Verify, ComparesListedTensorsWithThoseInTheFiles) {
  rewrite_manifest("\"model/half\"", "\"model/other\"");
  EXPECT_THAT(verify(path_), ElementsAre(AllOf(HasSubstr("'model/other' BF16 [3]"), HasSubstr("not in the file")),
                                         AllOf(HasSubstr("'model/half' BF16 [3]"), HasSubstr("not listed in the manifest"))));
}

TEST_F(Verify, NamesAMissingSealAndAMissingDirectory) {
  fs::remove(path_ / "COMPLETE");
  EXPECT_THAT(verify(path_), ElementsAre(HasSubstr("no file COMPLETE")));
  EXPECT_THAT(verify(dir_ / "nowhere"), ElementsAre(HasSubstr("not a directory")));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing

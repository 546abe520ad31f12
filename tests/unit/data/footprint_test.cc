#include "data/footprint.h"

#include "tests/unit/data/data_files.h"

namespace thinwire::data {
namespace {

using Footprints = DataFiles;

DataOptions text_of(std::vector<std::string> files) {
  DataOptions options;
  options.source = "text";
  options.files = std::move(files);
  return options;
}

TEST_F(Footprints, OfTextIsTheSizeOfItsFilesUnpacked) {
  const auto plain = write("plain.txt", letters(1000)), packed = pack("packed.txt.gz", letters(5000));
  const Footprint found = footprint(text_of({plain, packed}));
  EXPECT_EQ(found.kept_bytes, 6000);
  EXPECT_GE(found.loading_bytes, 6000);
  EXPECT_FALSE(found.is_mapped);
  EXPECT_TRUE(found.is_known);
}

TEST_F(Footprints, OfTextInTokensIsTwoBytesForFour) {
  DataOptions options = text_of({write("plain.txt", letters(4000))});
  options.tokenizer = "tokenizer.json";
  EXPECT_EQ(footprint(options).kept_bytes, 2000);
  EXPECT_GT(footprint(options).loading_bytes, 4000);
}

TEST_F(Footprints, OfTokensIsMapped) {
  DataOptions options;
  options.source = "tokens";
  options.files = {write("train.bin", std::string(5000, 'x'))};
  options.validation_files = {write("validation.bin", std::string(700, 'x'))};
  const Footprint found = footprint(options);
  EXPECT_EQ(found.kept_bytes, 5700);
  EXPECT_TRUE(found.is_mapped);
}

TEST_F(Footprints, OfFilesThatAreNotThereIsNotKnown) {
  EXPECT_FALSE(footprint(text_of({path("nothing.txt")})).is_known);
  DataOptions gcide;
  gcide.gcide_path = path("nothing.dz");
  EXPECT_FALSE(footprint(gcide).is_known);
  EXPECT_EQ(footprint(gcide).kept_bytes, 0);
}

TEST_F(Footprints, ALengthThatNoPackerReachesIsNotBelieved) {
  const auto cut = write("cut.txt.gz", std::string(30, 'x') + "\xff\xff\xff\xff");
  EXPECT_LT(footprint(text_of({cut})).kept_bytes, 100);
}

}  // namespace
}  // namespace thinwire::data

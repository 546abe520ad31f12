#include "data/corpus.h"
#include "data/sources.h"
#include "data_files.h"

namespace thinwire::data {
namespace {

constexpr const char* kPackaged = "/usr/share/dictd/gcide.dict.dz";
using Gcide = DataFiles;

TEST_F(Gcide, AbsentNamesThePathAndThePackage) {
  expect_data_error([&] { read_gcide(path("gcide.dict.dz"), kMaxCorpusBytes); },
                    {path("gcide.dict.dz"), "does not exist", "apt-get install dict-gcide", "data.gcide_path"});
}

TEST_F(Gcide, AnotherPathOverridesThePackagedOne) {
  DataOptions options;
  options.gcide_path = pack("mine.dict.dz", letters(1000));
  const Corpus corpus = load_corpus(options, 1, 8);
  EXPECT_EQ(as_text(corpus.train), letters(1000).substr(0, 900));
  EXPECT_NE(corpus.description.find("mine.dict.dz"), std::string::npos) << corpus.description;
}

TEST_F(Gcide, ADamagedDictionaryIsAnError) {
  expect_data_error([&] { read_gcide(write("gcide.dict.dz", "not packed"), kMaxCorpusBytes); }, {path("gcide.dict.dz"), "no gzip file"});
}

TEST_F(Gcide, ThePackagedDictionaryIsFortyMegabytesOfWebster) {
  if (!std::filesystem::exists(kPackaged)) GTEST_SKIP() << "the Debian package dict-gcide is not installed";
  const Corpus corpus = load_corpus(DataOptions{}, 1, 256);
  const size_t total = corpus.train.size() + corpus.test.size() + corpus.validation.size();
  EXPECT_NEAR(static_cast<double>(total), 39.95e6, 0.01e6);
  EXPECT_EQ(corpus.train.size(), total * 90 / 100);
  for (const auto* split : {&corpus.train, &corpus.test, &corpus.validation}) {
    EXPECT_NE(as_text(*split).find("Webster"), std::string::npos);
  }
}

}  // namespace
}  // namespace thinwire::data

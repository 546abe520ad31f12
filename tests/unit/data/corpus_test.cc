#include "data/corpus.h"

#include <algorithm>

#include "base/hash.h"
#include "data_files.h"

namespace thinwire::data {
namespace {

using CorpusTest = DataFiles;

DataOptions text_options(std::vector<std::string> files) {
  DataOptions options;
  options.source = "text";
  options.files = std::move(files);
  return options;
}

TEST_F(CorpusTest, IsSplit90To5To5InOrder) {
  const std::string text = letters(1009);  // 90 % is 908.1, 95 % is 958.55
  const Corpus corpus = load_corpus(text_options({write("a.txt", text)}), 1, 8);
  EXPECT_EQ(as_text(corpus.train), text.substr(0, 908));
  EXPECT_EQ(as_text(corpus.test), text.substr(908, 50));
  EXPECT_EQ(as_text(corpus.validation), text.substr(958));
  EXPECT_FALSE(corpus.synthetic);
  EXPECT_NE(corpus.description.find("a.txt': 908 tokens to train on, 50 to test, 51 to validate"), std::string::npos) << corpus.description;
}

TEST_F(CorpusTest, HashIsThatOfAllBytesInOrder) {
  const std::string text = letters(5000);
  EXPECT_EQ(load_corpus(text_options({write("a.txt", text)}), 1, 8).hash, hash64(text));
}

TEST_F(CorpusTest, HashChangesWithTheLastByteAndNotWithTheSeed) {
  std::string text = letters(5000);
  const std::string path = write("a.txt", text);
  const uint64_t before = load_corpus(text_options({path}), 1, 8).hash;
  EXPECT_EQ(load_corpus(text_options({path}), 2, 8).hash, before);
  text.back() = '!';
  write("a.txt", text);
  EXPECT_NE(load_corpus(text_options({path}), 1, 8).hash, before);
}

TEST_F(CorpusTest, TellsWhatIsReadAndEncodedAndHowFarThatIs) {
  constexpr size_t kBytes = 2'000'000;
  DataOptions options = text_options({write("a.txt", letters(kBytes))});
  options.tokenizer = write("tokenizer.json", make_tokenizer("byte")->files().front().content);  // each split is one piece
  std::vector<size_t> read, encoded;
  load_corpus(options, 1, 8, std::nullopt, [&](std::string_view work, size_t done, size_t all) {
    const bool encodes = work == "encoding";
    EXPECT_TRUE(encodes || work == "reading") << work;
    EXPECT_EQ(all, encodes ? kBytes : 0);
    (encodes ? encoded : read).push_back(done);
  });
  EXPECT_GE(read.size(), 4u);
  EXPECT_TRUE(std::ranges::is_sorted(read));
  EXPECT_EQ(read.back(), kBytes);
  EXPECT_EQ(encoded, (std::vector<size_t>{1'800'000, 1'900'000, 2'000'000}));
}

TEST_F(CorpusTest, PackedAndPlainFilesGiveTheSameCorpus) {
  const std::string text = letters(700'000);  // several pieces of reading
  const Corpus plain = load_corpus(text_options({write("a.txt", text)}), 1, 256);
  const Corpus packed = load_corpus(text_options({pack("a.txt.gz", text)}), 1, 256);
  EXPECT_EQ(plain.hash, packed.hash);
  EXPECT_EQ(plain.train, packed.train);
  EXPECT_EQ(plain.test, packed.test);
  EXPECT_EQ(plain.validation, packed.validation);
}

TEST_F(CorpusTest, TooLittleDataNamesBothNumbersAndTheKnobs) {
  // 1000 bytes leave 50 for the test split; a window of context 256 needs 257 there, which are 5 % of 5140.
  expect_data_error([&] { load_corpus(text_options({write("a.txt", letters(1000))}), 1, 256); },
                    {"a.txt", "1,000 bytes", "50 tokens", "needs 257", "at least 5,140", "model.context to at most 49"});
}

TEST_F(CorpusTest, TwentyWindowsAreEnoughAndTheContextThatTheMessageNamesWorks) {
  EXPECT_EQ(load_corpus(text_options({write("enough.txt", letters(5140))}), 1, 256).test.size(), 257u);
  EXPECT_EQ(load_corpus(text_options({write("small.txt", letters(1000))}), 1, 49).test.size(), 50u);
}

TEST_F(CorpusTest, DataTooSmallForAnyContextDoesNotSuggestOne) {
  try {
    load_corpus(text_options({write("a.txt", "x")}), 1, 256);
    FAIL() << "split one byte three ways";
  } catch (const DataError& e) {
    EXPECT_EQ(std::string(e.what()).find("lower model.context"), std::string::npos) << e.what();
  }
}

TEST_F(CorpusTest, TooLittleSyntheticDataOnlySuggestsAShorterContext) {
  DataOptions options;
  options.source = "synthetic";
  EXPECT_EQ(load_corpus(options, 1, 199'999).test.size(), 200'000u);
  try {
    load_corpus(options, 1, 200'000);
    FAIL() << "a window is longer than the split";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("needs 200,001: lower model.context to at most 199999"), std::string::npos) << e.what();
  }
}

TEST_F(CorpusTest, AnUnknownSourceIsAConfigErrorWithASuggestion) {
  DataOptions options;
  options.source = "txet";
  try {
    load_corpus(options, 1, 8);
    FAIL() << "loaded an unknown source";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'text'?"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace thinwire::data

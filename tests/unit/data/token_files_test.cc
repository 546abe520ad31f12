#include "data/token_files.h"

#include <gtest/gtest.h>

#include "data/corpus.h"
#include "data_files.h"

namespace thinwire::data {
namespace {

template <class... T>
std::string le(T... values) {
  std::string bytes;
  (bytes.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
  return bytes;
}

template <class T>
std::string row(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string llmc(int32_t magic, int32_t version, int32_t count, const std::string& tokens) {
  std::string head = le(magic, version, count);
  head.resize(1024);
  return head + tokens;
}

std::string index(const std::vector<int32_t>& lengths, uint8_t code, int64_t width) {
  std::string text =
      std::string("MMIDIDX\0\0", 9) + le(uint64_t{1}, code, static_cast<uint64_t>(lengths.size()), uint64_t{1}) + row(lengths);
  int64_t at = 0;
  for (const int32_t length : lengths) {
    text += le(at);
    at += length * width;
  }
  return text + le(int64_t{0});
}

using TokenFile = DataFiles;

TEST_F(TokenFile, OfLlmcIsReadInBothVersions) {
  const std::string narrow = write("a.bin", llmc(20240520, 1, 3, row<uint16_t>({1, 2, 50256})));
  EXPECT_EQ(as_ids(read_token_files({narrow}, "auto").tokens), (std::vector<int32_t>{1, 2, 50256}));
  const std::string wide = write("b.bin", llmc(20240801, 7, 2, row<uint32_t>({128000, 5})));
  EXPECT_EQ(as_ids(read_token_files({wide}, "auto").tokens), (std::vector<int32_t>{128000, 5}));
  EXPECT_EQ(as_ids(read_token_files({path("?.bin")}, "auto").tokens), (std::vector<int32_t>{1, 2, 50256, 128000, 5}))
      << "one after another";
}

TEST_F(TokenFile, OfLlmcThatIsDamagedNamesFilePlaceAndBothNumbers) {
  const auto refuses = [&](const std::string& bytes, std::initializer_list<std::string> words) {
    const std::string file = write("bad.bin", bytes);
    expect_data_error([&] { read_token_files({file}, "auto"); }, words);
  };
  refuses(llmc(20240520, 1, 4, row<uint16_t>({1, 2, 3})), {"bad.bin", "byte 8", "4 tokens", "3 tokens follow"});
  refuses(llmc(20240520, 1, 2, row<uint16_t>({1, 2, 3})), {"bad.bin", "2 tokens", "3 tokens follow"});
  refuses(llmc(20240520, 1, -1, ""), {"bad.bin", "-1 tokens"});
  refuses(llmc(20240520, 7, 1, row<uint16_t>({1})), {"bad.bin", "version 7", "asks for 1"});
  refuses(llmc(7, 1, 1, row<uint16_t>({1})), {"bad.bin", "llm.c", "data.format: uint16"});
  refuses(llmc(20240520, 1, 1, "").substr(0, 100), {"bad.bin", "llm.c"});
  refuses("", {"bad.bin", "is empty"});
}

TEST_F(TokenFile, WithoutAHeaderNeedsItsFormatSaid) {
  const std::string file = write("train.bin", row<uint16_t>({7, 8, 9, 10}));
  EXPECT_EQ(as_ids(read_token_files({file}, "uint16").tokens), (std::vector<int32_t>{7, 8, 9, 10}));
  EXPECT_EQ(as_ids(read_token_files({file}, "uint32").tokens), (std::vector<int32_t>{7 + (8 << 16), 9 + (10 << 16)}));
  expect_data_error([&] { read_token_files({write("odd.bin", "abc")}, "uint16"); }, {"odd.bin", "3 bytes", "uint16"});
  expect_data_error([&] { read_token_files({write("head.bin", llmc(20240520, 1, 1, row<uint16_t>({1})))}, "uint16"); },
                    {"head.bin", "llm.c", "data.format: auto"});
}

TEST_F(TokenFile, OfMegatronIsReadByItsIndex) {
  const std::string bin = write("m.bin", row<uint16_t>({1, 2, 3, 4, 5}));
  write("m.idx", index({2, 3}, 8, 2));
  EXPECT_EQ(as_ids(read_token_files({bin}, "auto").tokens), (std::vector<int32_t>{1, 2, 3, 4, 5}));
  write("m.bin", row<int32_t>({70000, 2}));
  write("m.idx", index({2}, 4, 4));
  EXPECT_EQ(as_ids(read_token_files({bin}, "auto").tokens), (std::vector<int32_t>{70000, 2}));
}

TEST_F(TokenFile, OfMegatronThatDoesNotFitItsIndexIsRefused) {
  const std::string bin = write("m.bin", row<uint16_t>({1, 2, 3, 4, 5}));
  const auto refuses = [&](const std::string& text, std::initializer_list<std::string> words) {
    write("m.idx", text);
    expect_data_error([&] { read_token_files({bin}, "auto"); }, words);
  };
  const std::string good = index({2, 3}, 8, 2);
  refuses("MMIDIDY" + good.substr(7), {"m.idx", "MMIDIDX"});
  refuses(index({2, 2}, 8, 2), {"m.idx", "8 bytes", "10"});
  refuses(index({2, -3}, 8, 2), {"m.idx", "sequence 1", "-3"});
  refuses(index({2, 3}, 6, 2), {"m.idx", "type 6"});
  refuses(index({2, 3}, 8, 4), {"m.idx", "sequence 1", "from byte 8", "ends at 4"});
  for (size_t size = 0; size < good.size() - 8; ++size) refuses(good.substr(0, size), {"m.idx"});
  std::string many = good;
  many.replace(18, 8, le(uint64_t{1} << 60));
  refuses(many, {"m.idx", "too short"});
  std::string newer = good;
  newer[9] = 2;
  refuses(newer, {"m.idx", "version 2"});
}

TEST_F(TokenFile, OneThatIsWrittenIsReadAgain) {
  for (const int64_t vocab : {65536, 65537}) {
    std::vector<int32_t> ids(100'000);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * 7919) % static_cast<size_t>(vocab));
    write_token_file(path("w.bin"), Tokens::pack(ids, vocab), vocab);
    EXPECT_EQ(std::filesystem::file_size(path("w.bin")), 1024u + (vocab == 65536 ? 2 : 4) * ids.size());
    EXPECT_EQ(as_ids(read_token_files({path("w.bin")}, "auto").tokens), ids);
  }
}

TEST(Tokens, SlicesAndCopiesCrossTheirPieces) {
  const auto one = [](std::vector<int32_t> ids, int64_t vocab) { return Tokens::pack(ids, vocab).pieces().front(); };
  const Tokens tokens({one({1, 2, 3}, 10), one({70000, 5}, 100'000), one({6}, 10)});
  EXPECT_EQ(as_ids(tokens), (std::vector<int32_t>{1, 2, 3, 70000, 5, 6}));
  EXPECT_EQ(as_ids(tokens.slice(2, 3)), (std::vector<int32_t>{3, 70000, 5}));
  EXPECT_EQ(as_ids(tokens.slice(2, 3).slice(1, 1)), (std::vector<int32_t>{70000}));
  EXPECT_EQ(tokens.slice(6, 0).size(), 0u);
  std::vector<int64_t> copied(4);
  tokens.copy(1, 4, copied.data());
  EXPECT_EQ(copied, (std::vector<int64_t>{2, 3, 70000, 5}));
  EXPECT_THROW(tokens.copy(3, 4, copied.data()), BrokenInvariant);
}

using TokenCorpus = DataFiles;

DataOptions of(std::vector<std::string> files) {
  DataOptions options;
  options.source = "tokens";
  options.files = std::move(files);
  options.tokenizer = "none";
  return options;
}

std::vector<uint16_t> counting(size_t count) {
  std::vector<uint16_t> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<uint16_t>(i);
  return ids;
}

TEST_F(TokenCorpus, IsCutAsTextIs) {
  const Corpus corpus = load_corpus(of({write("t.bin", llmc(20240520, 1, 1009, row(counting(1009))))}), 1, 8, 2000);
  EXPECT_EQ(corpus.train.size(), 908u);
  EXPECT_EQ(corpus.test[0], 908);
  EXPECT_EQ(corpus.validation[0], 958);
  EXPECT_EQ(corpus.tokenizer, nullptr);
}

TEST_F(TokenCorpus, TakesItsValidationFromFilesOfItsOwn) {
  DataOptions options = of({write("t.bin", llmc(20240520, 1, 100, row(counting(100))))});
  options.validation_files = {write("v.bin", llmc(20240520, 1, 9, row(counting(9))))};
  const Corpus corpus = load_corpus(options, 1, 8, 2000);
  EXPECT_EQ(corpus.train.size(), 100u);
  EXPECT_EQ(corpus.validation.size(), 9u);
  EXPECT_EQ(corpus.test.size(), 0u);
  expect_data_error([&] { load_corpus(options, 1, 9, 2000); },
                    {"too little data", "needs 10", "more tokens to the validation split", "at most 8"});
}

TEST_F(TokenCorpus, ATokenBeyondTheVocabularyIsNamedWithFileAndPlace) {
  const std::string first = write("a.bin", llmc(20240520, 1, 100, row(counting(100))));
  std::vector<uint16_t> ids = counting(300);
  ids[290] = 999;
  const std::string second = write("b.bin", llmc(20240520, 1, 300, row(ids)));
  expect_data_error([&] { load_corpus(of({first, second}), 1, 8, 999); }, {"b.bin", "token number 290 is 999", "vocabulary has 999"});
  EXPECT_EQ(load_corpus(of({first, second}), 1, 8, 1000).train.size(), 360u);
}

}  // namespace
}  // namespace thinwire::data

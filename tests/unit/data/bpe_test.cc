// Vocabularies of a few tokens, whose ids are worked out by hand from the rules of BPE.
#include "data/tokenizers/bpe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/merges.h"
#include "data/tokenizers/splitter.h"
#include "data_files.h"

namespace thinwire::data {
namespace {

using nlohmann::json;

TEST(ByteAlphabet, IsThatOfGpt2) {
  EXPECT_EQ(byte_letters()['A'], "A");
  EXPECT_EQ(byte_letters()[' '], "\u0120");  // the familiar G with a dot
  EXPECT_EQ(byte_letters()['\n'], "\u010a");
  EXPECT_EQ(byte_letters()[0], "\u0100");
  EXPECT_EQ(byte_letters()[0x7f], "\u0121");  // 33 control bytes and the space come before it
  EXPECT_EQ(byte_letters()[0xad], "\u0143");  // the last of the 68
  EXPECT_EQ(byte_letters()[0xff], "\u00ff");
  std::string bytes;
  EXPECT_TRUE(bytes_of_letters("\u0120a\u00e9", bytes));
  EXPECT_EQ(bytes, " a\xe9");
  EXPECT_FALSE(bytes_of_letters("\u20ac", bytes));
}

TEST(Merges, TakeTheEarliestFirstAndOfEqualOnesTheLeftmost) {
  Merges merges;  // a=0 b=1 c=2; bc=3, ab=4, abc=5, aa=6
  merges.add(1, 2, 3);
  merges.add(0, 1, 4);
  merges.add(0, 3, 5);
  merges.add(0, 0, 6);
  const auto applied = [&](std::vector<int32_t> tokens) {
    merges.apply(tokens);
    return tokens;
  };
  EXPECT_EQ(applied({0, 1, 2}), (std::vector<int32_t>{5}));  // bc before ab, then a bc
  EXPECT_EQ(applied({0, 1, 0}), (std::vector<int32_t>{4, 0}));
  EXPECT_EQ(applied({0, 0, 0}), (std::vector<int32_t>{6, 0}));
  EXPECT_EQ(applied({0, 0, 0, 1}), (std::vector<int32_t>{6, 4}));  // ab first
  EXPECT_EQ(applied({}), (std::vector<int32_t>{}));
  EXPECT_EQ(applied({2}), (std::vector<int32_t>{2}));
}

TEST(Merges, ALongRunTakesNoQuadraticTime) {
  Merges merges;  // powers of two of the letter 0
  for (int32_t power = 0; power < 20; ++power) merges.add(power, power, power + 1);
  std::vector<int32_t> tokens(1 << 20, 0);
  merges.apply(tokens);
  EXPECT_EQ(tokens, (std::vector<int32_t>{20}));
}

std::vector<std::string> pieces(const std::string& pattern, std::string_view text) {
  std::vector<std::string> found;
  Splitter(pattern, "a pattern").split(text, [&](std::string_view piece) { found.emplace_back(piece); });
  return found;
}

TEST(Splitter, CutsAsGpt2Does) {
  EXPECT_EQ(pieces(kGpt2Pattern, "Hello world's  123 x!"), (std::vector<std::string>{"Hello", " world", "'s", " ", " 123", " x", "!"}));
  EXPECT_EQ(pieces(kGpt2Pattern, "a \n\n b  "), (std::vector<std::string>{"a", " \n\n", " b", "  "}));
  EXPECT_EQ(pieces(kGpt2Pattern, "\u00e9t\u00e9 \u0442\u0435\u0441\u0442"),
            (std::vector<std::string>{"\u00e9t\u00e9", " \u0442\u0435\u0441\u0442"}));
}

TEST(Splitter, CutsNumbersOfThreeDigitsAsLlama3Does) {
  const std::string pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(pieces(pattern, "It'S 12345.\n\n x"), (std::vector<std::string>{"It", "'S", " ", "123", "45", ".\n\n", " x"}));
}

TEST(Splitter, KnowsUnicodeSpacesAndOnlyThose) {
  EXPECT_EQ(pieces(R"(\s+|\S+)", "a\u3000\u2028b\u180ec"), (std::vector<std::string>{"a", "\u3000\u2028", "b\u180ec"}));
  EXPECT_EQ(pieces(R"([^\s]+)", "a\u00a0b"), (std::vector<std::string>{"a", "\u00a0", "b"}));
}

TEST(Splitter, LosesNoByteWhereTextIsNoUtf8) {
  const std::string text = "ab\xff\xfe cd\x92 \xe2\x82";
  std::string joined;
  for (const auto& piece : pieces(kGpt2Pattern, text)) joined += piece;
  EXPECT_EQ(joined, text);
}

TEST(Splitter, AMatchMayBeLongerThanWhatIsLookedAtAtOnce) {
  const std::string word(100'000, 'w'), spaces(50'000, ' ');
  EXPECT_EQ(pieces(kGpt2Pattern, word + spaces + "x"), (std::vector<std::string>{word, std::string(49'999, ' '), " x"}));
}

TEST(Splitter, RefusesAPatternThatCannotBeUsed) {
  expect_data_error([] { Splitter("(a", "tokenizer.json"); }, {"tokenizer.json", "(a"});
  expect_data_error([] { pieces("(a+)+$", std::string(60, 'a') + "b"); }, {"a pattern", "fails"});
}

// All bytes as tokens 0 to 255 by value, then what is asked for.
json spec(const std::vector<std::pair<std::string, std::string>>& merges) {
  json vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[byte_letters()[static_cast<size_t>(byte)]] = byte;
  json list = json::array();
  int next = 256;
  for (const auto& [left, right] : merges) {
    list.push_back(left + " " + right);
    vocab[left + right] = next++;
  }
  return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", list}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
}

std::unique_ptr<Tokenizer> made(const json& root) { return make_bpe_tokenizer({{"tokenizer.json", root.dump()}}, "tokenizer.json"); }

const std::vector<std::pair<std::string, std::string>> kMerges = {{"\u0120", "t"}, {"h", "e"}, {"\u0120t", "he"}};  // 256, 257, 258

TEST(Bpe, EncodesByTheRules) {
  const auto tokenizer = made(spec(kMerges));
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  EXPECT_EQ(tokenizer->encode("the the"), (std::vector<int32_t>{'t', 257, 258}));
  EXPECT_EQ(tokenizer->encode("he  the"), (std::vector<int32_t>{257, ' ', 258}));
  EXPECT_EQ(tokenizer->encode(""), std::vector<int32_t>());
  EXPECT_EQ(tokenizer->bytes_of(258), " the");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("he  the")), "he  the");
}

TEST(Bpe, TellsHowMuchOfTheTextIsDone) {
  std::string text;
  while (text.size() < 400'000) text += "the ";
  std::vector<size_t> told;
  const auto tokenizer = made(spec(kMerges));
  const auto tokens = tokenizer->encode(text, [&](size_t done) { told.push_back(done); });
  EXPECT_EQ(tokens, tokenizer->encode(text));
  ASSERT_GE(told.size(), 4u);
  EXPECT_TRUE(std::ranges::is_sorted(told));
  EXPECT_LE(told.back(), text.size());
  EXPECT_GE(told.back(), 300'000u);
}

TEST(Bpe, MergesMayBePairs) {
  json root = spec(kMerges);
  for (auto& merge : root["model"]["merges"]) {
    const std::string text = merge;
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  EXPECT_EQ(made(root)->encode("the the"), (std::vector<int32_t>{'t', 257, 258}));
}

TEST(Bpe, AnyBytesComeBack) {
  std::string text;
  for (int i = 0; i < 1024; ++i) text.push_back(static_cast<char>(i * 7));
  const auto tokenizer = made(spec(kMerges));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(Bpe, AddedTokensAreTakenWholeAndTheLongestWins) {
  json root = spec(kMerges);
  root["added_tokens"] = {{{"id", 259}, {"content", "<|end"}, {"special", false}},
                          {{"id", 260}, {"content", "<|end|>"}, {"special", true}}};
  const auto tokenizer = made(root);
  EXPECT_EQ(tokenizer->encode("he<|end|>he<|ende"), (std::vector<int32_t>{257, 260, 257, 259, 'e'}));
  EXPECT_EQ(tokenizer->bytes_of(259), "<|end");
  EXPECT_EQ(tokenizer->bytes_of(260), "") << "it marks something";
}

TEST(Bpe, KnowsWhatBeginsAndEndsAText) {
  json root = spec({});
  root["added_tokens"] = {{{"id", 256}, {"content", "<s>"}, {"special", true}},
                          {{"id", 257}, {"content", "<|endoftext|>"}, {"special", true}},
                          {{"id", 258}, {"content", "<stop>"}, {"special", true}}};
  EXPECT_EQ(made(root)->begin_of_text(), std::nullopt);
  EXPECT_EQ(made(root)->end_of_text(), 257);
  root["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
  EXPECT_EQ(made(root)->begin_of_text(), 256);
  const auto configured = make_bpe_tokenizer(
      {{"tokenizer.json", root.dump()}, {"tokenizer_config.json", R"({"eos_token": {"content": "<stop>"}})"}}, "tokenizer.json");
  EXPECT_EQ(configured->end_of_text(), 258);
}

TEST(Bpe, StepsOfPreTokenizationCutOneAfterAnother) {
  json root = spec({{"1", "2"}, {"a", "1"}});
  root["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers",
                            {{{"type", "Digits"}, {"individual_digits", true}},
                             {{"type", "Split"}, {"pattern", {{"Regex", "[ab]"}}}, {"behavior", "Isolated"}, {"invert", false}},
                             {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  EXPECT_EQ(made(root)->encode("a12"), (std::vector<int32_t>{'a', '1', '2'})) << "nothing merges across a cut";
}

TEST(Bpe, ASpaceIsPutInFrontWhereTheFileAsks) {
  json root = spec(kMerges);
  root["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_EQ(made(root)->encode("the the"), (std::vector<int32_t>{258, 258}));
}

TEST(Bpe, AWholePieceIsATokenWhereMergesAreIgnored) {
  json root = spec(kMerges);
  root["model"]["vocab"]["xyz"] = 259;
  EXPECT_EQ(made(root)->encode("xyz"), (std::vector<int32_t>{'x', 'y', 'z'}));
  root["model"]["ignore_merges"] = true;
  EXPECT_EQ(made(root)->encode("xyz"), (std::vector<int32_t>{259}));
}

TEST(Bpe, AByteWithoutATokenIsUnknownOrAnError) {
  json root = spec({});
  root["model"]["vocab"].erase("z");
  root["model"]["vocab"]["<unk>"] = 'z';
  expect_data_error([&] { made(root)->encode("zz"); }, {"tokenizer.json", "0x7a"});
  root["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(made(root)->encode("azz"), (std::vector<int32_t>{'a', 'z', 'z'}));
  root["model"]["fuse_unk"] = true;
  EXPECT_EQ(made(root)->encode("azz"), (std::vector<int32_t>{'a', 'z'}));
}

TEST(Bpe, RefusesWhatIsDamagedOrNotBuilt) {
  const auto refuses = [](const char* pointer, const json& value, std::initializer_list<std::string> words) {
    json root = spec(kMerges);
    root[json::json_pointer(pointer)] = value;
    expect_data_error([&] { made(root); }, words);
  };
  refuses("/model/type", "WordPiece", {"WordPiece", "BPE"});
  refuses("/model/vocab", json::array(), {"model.vocab"});
  refuses("/model/vocab/he", 1u << 30, {"model.vocab", "he"});
  refuses("/model/vocab/he", -1, {"model.vocab", "he"});
  refuses("/model/vocab/he", 65, {"same id 65"});
  refuses("/model/merges", "a b", {"model.merges"});
  refuses("/model/merges/0", "onlyone", {"model.merges", "number 0"});
  refuses("/model/merges/1", "a q", {"model.merges, number 1", "not in the vocabulary"});
  refuses("/model/byte_fallback", true, {"byte_fallback", "tokenizer.model"});
  refuses("/model/end_of_word_suffix", "</w>", {"end_of_word_suffix"});
  refuses("/model/unk_token", "<none>", {"unk_token"});
  refuses("/normalizer", {{"type", "NFC"}}, {"normalizer", "NFC"});
  refuses("/pre_tokenizer", {{"type", "Whitespace"}}, {"Whitespace", "ByteLevel"});
  refuses("/pre_tokenizer", nullptr, {"ByteLevel"});
  refuses("/added_tokens", {{{"id", 300}, {"content", "<m>"}, {"lstrip", true}}}, {"lstrip", "<m>"});
  refuses("/added_tokens", {{{"id", 16'000'000}, {"content", "<m>"}}}, {"added_tokens"});
  expect_data_error([] { make_bpe_tokenizer({{"tokenizer.json", "{\"model\": "}}, "t.json"); }, {"t.json", "not valid JSON at byte"});
  expect_data_error([] { make_bpe_tokenizer({{"tokenizer.json", std::string(100'000, '[')}}, "t.json"); }, {"t.json", "nested"});
  expect_data_error([] { make_bpe_tokenizer({{"tokenizer.json", "[1]"}}, "t.json"); }, {"t.json", "not a JSON object"});
}

TEST(ByteTokenizerFile, IsByteLevelBpeThatMergesNothing) {
  const auto bytes = make_tokenizer("byte");
  const auto same = make_bpe_tokenizer(bytes->files(), "tokenizer.json");
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text.push_back(static_cast<char>(byte));
  EXPECT_EQ(same->vocab_size(), 256);
  EXPECT_EQ(same->encode(text), bytes->encode(text));
}

using TokenizerPath = DataFiles;

TEST_F(TokenizerPath, IsAFileOrAFolder) {
  const std::string file = write("t/tokenizer.json", spec(kMerges).dump());
  EXPECT_EQ(make_tokenizer(file)->vocab_size(), 259);
  EXPECT_EQ(make_tokenizer(path("t"))->vocab_size(), 259);
  EXPECT_EQ(make_tokenizer(path("t/"))->files().size(), 1u);
  write("t/tokenizer_config.json", "{}");
  EXPECT_EQ(make_tokenizer(path("t"))->files().at(1).name, "tokenizer_config.json");
  expect_data_error([&] { make_tokenizer(path("none")); }, {"data.tokenizer", "none", "does not exist"});
  std::filesystem::create_directory(path("empty"));
  expect_data_error([&] { make_tokenizer(path("empty")); }, {"tokenizer.json", "tokenizer.model"});
  expect_data_error([&] { make_tokenizer(write("bad.model", "not a model")); }, {"bad.model", "SentencePiece"});
}

}  // namespace
}  // namespace thinwire::data

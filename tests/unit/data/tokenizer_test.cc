#include "data/tokenizer.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/error.h"

namespace thinwire::data {
namespace {

TEST(ByteTokenizer, RoundTripsEveryByte) {
  std::string text;
  std::vector<int32_t> expected;
  for (int byte = 0; byte < 256; ++byte) {
    text.push_back(static_cast<char>(byte));
    expected.push_back(byte);
  }
  const auto tokenizer = make_tokenizer("byte");
  EXPECT_EQ(tokenizer->encode(text), expected);
  EXPECT_EQ(tokenizer->decode(expected), text);
}

TEST(ByteTokenizer, HasAVocabularyOf256) {
  EXPECT_EQ(make_tokenizer("byte")->vocab_size(), 256);
  EXPECT_EQ(make_tokenizer("byte")->bytes_of('x'), "x");
  EXPECT_EQ(make_tokenizer("byte")->begin_of_text(), std::nullopt);
  EXPECT_EQ(make_tokenizer("byte")->end_of_text(), std::nullopt);
}

TEST(ByteTokenizer, KeepsTheEmptyTextEmpty) {
  EXPECT_TRUE(make_tokenizer("byte")->encode("").empty());
  EXPECT_EQ(make_tokenizer("byte")->decode({}), "");
}

TEST(ByteTokenizer, RefusesATokenOutsideItsVocabulary) {
  const std::vector<int32_t> too_high = {256}, too_low = {-1};
  EXPECT_THROW(make_tokenizer("byte")->decode(too_high), BrokenInvariant);
  EXPECT_THROW(make_tokenizer("byte")->decode(too_low), BrokenInvariant);
}

TEST(Tokenizer, AnUnknownNameIsAConfigErrorWithASuggestion) {
  try {
    make_tokenizer("bytes");
    FAIL() << "made an unknown tokenizer";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("'bytes' (did you mean 'byte'?)"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace thinwire::data

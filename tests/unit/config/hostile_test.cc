// Bytes that nobody meant as a config: they give values or a ConfigError, never a crash, a hang or a stack overflow.
#include <fmt/format.h>

#include <algorithm>

#include "base/draw.h"
#include "config/yaml_tree.h"
#include "example.h"

namespace thinwire::config {
namespace {
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(HostileConfig, SyntaxErrorsHaveLineAndColumn) {
  EXPECT_THAT(error_of("run:\n  name: x\n\tsteps: 3\n"), StartsWith("a.yaml:3:1: not valid YAML: "));
  EXPECT_THAT(error_of("run: {name: 'x\n"), StartsWith("a.yaml:"));
  EXPECT_THAT(error_of("run: *nowhere\n"), AllOf(StartsWith("a.yaml:1:6: not valid YAML"), HasSubstr("anchor")));
  EXPECT_THAT(error_of("a: b: c"), StartsWith("a.yaml:1:5: not valid YAML"));
}

TEST(HostileConfig, DeepNestingIsRefused) {
  for (const char* open : {"[", "{a: ", "{", "- ", "? ", "[{a: ", "run: [", "&a ["}) {
    for (const int times : {100, 10'000, 100'000}) EXPECT_NE(error_of(repeated(open, times)), "") << open;
  }
  std::string block;
  for (int i = 0; i < 1000; ++i) block += fmt::format("{:{}}a:\n", "", i);
  EXPECT_THAT(error_of(block), HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(error_of(repeated("[", 50)), HasSubstr("nested deeper than 32 levels"));
}

TEST(HostileConfig, AliasesCannotPileUp) {
  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 5000; ++i) chain += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
  EXPECT_THAT(error_of(chain), HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(error_of("run: &r {files: [*r]}"), AllOf(StartsWith("a.yaml:1:18:"), HasSubstr("alias")));
  std::string laughs = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 25; ++i) laughs += fmt::format("a{0}: &a{0} [*a{1}, *a{1}]\n", i, i - 1);  // 2^25 leaves, were they copied
  EXPECT_THAT(error_of(laughs + "run: {files: *a24}"), HasSubstr("'run.files'"));
}

TEST(HostileConfig, BytesThatAreNoTextAreNamed) {
  EXPECT_EQ(error_of("run: {}\nop\x04tim: 3\n"), "a.yaml:2:3: byte 0x04 does not belong in a text file (UTF-8)");
  EXPECT_THAT(error_of(std::string("\x7f"
                                   "ELF\x02\x01\x01\0\0",
                                   9)),
              HasSubstr("a.yaml:1:5: byte 0x02"));
  EXPECT_THAT(error_of(std::string("run: \0", 6)), HasSubstr("byte 0x00"));
  for (const char* bad :
       {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff\xfe", "\xe2\x82", "\xf0\x9f\x98"}) {
    EXPECT_THAT(error_of(bad), HasSubstr("does not belong in a text file"));
  }
}

TEST(HostileConfig, OneDocumentIsOneConfig) {
  EXPECT_THAT(error_of("run: {}\n---\nrun: {}\n"), AllOf(StartsWith("a.yaml:2:1:"), HasSubstr("second document")));
}

TEST(HostileConfig, AMessageStaysOnItsLineAndPlain) {
  const std::string message = error_of("\"ru\\nn\\e[31m\": 1\nrun: {steps: \"1\\n2\"}\n");
  EXPECT_EQ(std::ranges::count(message, '\n'), 1);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

TEST(HostileConfig, AFloodOfErrorsIsCutShort) {
  std::string yaml;
  for (int i = 0; i < 50'000; ++i) yaml += fmt::format("k{}: 1\n", i);
  EXPECT_THAT(error_of(yaml), HasSubstr("and 49800 more"));
}

TEST(HostileConfig, RandomBytesGiveConfigErrors) {
  const Draw draw(11);
  for (uint64_t i = 0; i < 500; ++i) {
    std::string bytes;
    for (uint64_t j = 0; j < 64; ++j) bytes += static_cast<char>(draw.fork(i).below(j, 256));
    EXPECT_NE(error_of(bytes), "");
  }
}

// Valid text with a few characters replaced, inserted or removed: most of it reaches the parser's corners.
TEST(HostileConfig, MutatedConfigsNeverCrash) {
  const std::string seed_text =
      "run: {name: &n 'a b', files: [x, \"y\\n\"]}\noptim:\n  lr: 1e-3\n  betas: [0.9, 0.99]\ncompress:\n  error_feedback: ef14\n"
      "  rules:\n    - match: *n\n      codec: bf16\n    - {match: |\n        text\n      }\n";
  const std::string alphabet = "{}[]:,-?&*#!|>'\"%@`~ \n\t\\a0=<.";
  for (uint64_t i = 0; i < 3000; ++i) {
    const Draw draw = Draw(5).fork(i);
    std::string text = seed_text;
    for (uint64_t edit = 0; edit < 1 + i % 4; ++edit) {
      const size_t at = draw.below(3 * edit, text.size());
      const std::string letter(1, alphabet[draw.below(3 * edit + 1, alphabet.size())]);
      const uint64_t kind = draw.below(3 * edit + 2, 3);
      text.replace(at, kind == 0 ? 0 : 1, kind == 2 ? "" : letter);
    }
    error_of(text);
    set_error(text);
  }
}

}  // namespace
}  // namespace thinwire::config

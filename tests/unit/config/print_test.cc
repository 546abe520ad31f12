#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <set>
#include <sstream>

#include "example.h"

namespace thinwire::config {
namespace {
using testing::HasSubstr;
using testing::StartsWith;

Rule rule(const std::string& match) {
  Rule made;
  made.match = match;
  return made;
}

TEST(Print, WritesBlocksWithUnits) {
  Options o;
  o.run.files = {"a.txt", "b, c.txt"};
  o.compress.rules = {{.match = "*.embed.*", .codec = "bf16", .topk = {}}, {.match = "x", .codec = "none", .topk = {0.01, 8}}};
  EXPECT_EQ(printed(o), R"(run:
  name: auto
  steps: 300
  threads: auto
  verify: false
  files: [a.txt, "b, c.txt"]
optim:
  lr: 0.002
  betas: [0.9, 0.95]
  warmup: 10%
  min_lr: 0
comm:
  timeout: 60s
  bucket: 4MB
compress:
  codec: none
  topk:
    density: 6.25%
    chunk: 4096
  error_feedback:
    name: ef14
    decay: 1
  start: 0%
  rules:
    - match: "*.embed.*"
      codec: bf16
      topk:
        density: 6.25%
        chunk: 4096
    - match: x
      codec: none
      topk:
        density: 1%
        chunk: 8
)");
}

const std::vector<std::string> kAwkwardTexts{"",
                                             " ",
                                             " lead",
                                             "trail ",
                                             "a b",
                                             "null",
                                             "Null",
                                             "~",
                                             "true",
                                             "False",
                                             "yes",
                                             "off",
                                             "n",
                                             "12",
                                             "-1.5",
                                             "1e6",
                                             "0x1F",
                                             "1_000",
                                             ".inf",
                                             ".NaN",
                                             "2024-01-01",
                                             "1:30",
                                             "5%",
                                             "a: b",
                                             "a:b",
                                             "host:29500",
                                             "#c",
                                             "a #c",
                                             "*.embed.*",
                                             "&a",
                                             "!t",
                                             "|",
                                             ">",
                                             "'q'",
                                             "\"q\"",
                                             "it's",
                                             "back\\slash",
                                             "a,b",
                                             "[a]",
                                             "{a}",
                                             "a]",
                                             "%x",
                                             "@x",
                                             "`x",
                                             "?",
                                             "? a",
                                             "-",
                                             "- a",
                                             "--",
                                             "---",
                                             "...",
                                             "=",
                                             "<<",
                                             ".",
                                             "..",
                                             "../x",
                                             "./a-b_c+d",
                                             "/abs/p.q",
                                             "tab\tin",
                                             "new\nline",
                                             "cr\r",
                                             "bell\x07 del\x7f",
                                             "zu\xc3\xbc"
                                             "rich",
                                             "\xe2\x82\xac 5",
                                             "\xf0\x9f\x98\x80",
                                             "\xc2\x85",
                                             "\xe2\x80\xa8",
                                             "\xef\xbb\xbf"
                                             "bom",
                                             std::string("nul\0in", 6),
                                             std::string(5000, 'x'),
                                             "a  b",
                                             "x:",
                                             ":x",
                                             "x,"};

TEST(Print, EveryTextComesBack) {
  for (const auto& text : kAwkwardTexts) {
    Options o;
    o.run.name = text;
    o.compress.rules = {rule(text + "x")};
    const Options back = loaded(printed(o));
    EXPECT_EQ(back.run.name, text);
    EXPECT_EQ(back.compress.rules.at(0).match, text + "x");
  }
  Options o;
  o.run.files = kAwkwardTexts;
  EXPECT_EQ(loaded(printed(o)).run.files, kAwkwardTexts);
}

TEST(Print, TextsThatLookLikeOtherTypesAreQuoted) {
  for (const char* text : {"", "null", "~", "true", "No", "12", "-1.5", "1e6", "0x1F", ".inf", "2024-01-01"}) {
    Options o;
    o.run.name = text;
    EXPECT_THAT(printed(o), HasSubstr(fmt::format("  name: \"{}\"\n", text)));
  }
}

TEST(Print, PrintedConfigReproducesItself) {
  Options o = loaded(R"(
run: {name: 'odd: "name"', steps: 7, threads: 3, verify: true, files: []}
optim: {lr: 0.1234567890123456789, betas: [1e-300, 0.30000000000000004], warmup: 33.333333333333333%, min_lr: 5e-324}
comm: {timeout: 1234.5678ms, bucket: 123456789}
compress: {topk: {density: 0.012345678901234567}, start: 123456789tok, rules: [{match: "*"}, {match: "?", topk: {density: 1e-9}}]}
)");
  const std::string once = printed(o);
  Options back = loaded(once);
  EXPECT_EQ(printed(back), once);
  EXPECT_EQ(back.optim.lr, o.optim.lr);
  EXPECT_EQ(back.optim.betas, o.optim.betas);
  EXPECT_EQ(back.optim.warmup, o.optim.warmup);
  EXPECT_EQ(back.optim.min_lr, o.optim.min_lr);
  EXPECT_EQ(back.comm.timeout_s, o.comm.timeout_s);
  EXPECT_EQ(back.comm.bucket_bytes, o.comm.bucket_bytes);
  EXPECT_EQ(back.compress.topk.density, o.compress.topk.density);
  EXPECT_EQ(back.compress.rules.at(1).topk.density, 1e-9);
}

TEST(Print, EmptyListsAndSectionsAreFlow) {
  std::vector<std::string> none;
  Section root;
  root.add_section("nothing", std::make_shared<Section>(), {}, "");
  root.texts("none", none, "");
  EXPECT_EQ(print(root), "nothing: {}\nnone: []\n");
}

TEST(Print, AnotherReaderSeesTheSameTree) {
  Options o;
  o.run.name = "a: b";
  o.compress.rules = {rule("*"), rule("#")};
  const YAML::Node tree = YAML::Load(printed(o));
  EXPECT_EQ(tree["run"]["name"].as<std::string>(), "a: b");
  EXPECT_EQ(tree["optim"]["lr"].as<double>(), 0.002);
  EXPECT_EQ(tree["compress"]["rules"][1]["match"].as<std::string>(), "#");
}

TEST(Print, FollowsAListThatSomebodyElseChanged) {
  Options o;
  const Section root = describe_root(o);
  o.compress.rules = {rule("a"), rule("b")};
  EXPECT_THAT(print(root), HasSubstr("- match: b"));
  o.compress.rules = {rule("c")};
  o.compress.rules.reserve(100);
  EXPECT_THAT(print(root), HasSubstr("- match: c"));
}

TEST(Flatten, GivesDottedKeysAndPlainValues) {
  Options o;
  o.run.name = "a: b";
  o.compress.rules = {rule("*")};
  const auto flat = flatten(describe_root(o));
  EXPECT_EQ(flat.at("optim.lr"), "0.002");
  EXPECT_EQ(flat.at("optim.betas"), "[0.9, 0.95]");
  EXPECT_EQ(flat.at("run.name"), "a: b");
  EXPECT_EQ(flat.at("run.files"), "[]");
  EXPECT_EQ(flat.at("compress.rules[0].match"), "*");
  EXPECT_EQ(flat.at("compress.rules[0].topk.chunk"), "4096");
  o.compress.rules.clear();
  EXPECT_EQ(flatten(describe_root(o)).at("compress.rules"), "[]");
}

TEST(Docs, HasAHeadingAndATableForEachSection) {
  Options o;
  const std::string page = docs(describe_root(o));
  EXPECT_THAT(page, StartsWith("Sections: [run](#run), "));
  EXPECT_THAT(page, HasSubstr("\n## compress\n\n`compress`: "));
  EXPECT_THAT(page, HasSubstr("\n\n| key | accepted | default | meaning |\n|---|---|---|---|\n"));
  EXPECT_THAT(page, HasSubstr("| `run.steps` | integer >= 1 | `300` | optimiser steps |\n"));
  EXPECT_THAT(page, HasSubstr("| `compress.codec` | one of none \\| bf16 \\| topk | `none` | codec of the gradients |\n"));
  EXPECT_THAT(
      page,
      HasSubstr("\n### compress.error_feedback\n\n`compress.error_feedback`: what becomes of the error (section, or only its name).\n"));
  EXPECT_THAT(page, HasSubstr("\n### compress.rules[]\n\n`compress.rules[]`: "));
  EXPECT_THAT(page, HasSubstr(" (list of sections).\n"));
  EXPECT_THAT(page, HasSubstr("| `compress.rules[].topk.density` |"));
}

TEST(Docs, NamesEachKeyOnceBelowTheHeadingOfItsSection) {
  Options o;
  const std::string page = docs(describe_root(o));
  std::string section;
  std::set<std::string> seen;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("##")) section = line.substr(line.find(' ') + 1);
    if (!line.starts_with("| `")) continue;
    const std::string key = line.substr(3, line.find('`', 3) - 3);
    EXPECT_EQ(key.substr(0, key.rfind('.')), section);
    EXPECT_TRUE(seen.insert(key).second) << key;
  }
  for (const auto& [key, value] : flatten(describe_root(o))) {
    if (key != "compress.rules") {
      EXPECT_TRUE(seen.contains(key)) << key;
    }
  }
}

}  // namespace
}  // namespace thinwire::config

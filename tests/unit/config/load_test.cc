#include <fmt/format.h>

#include <fstream>

#include "example.h"

namespace thinwire::config {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Load, ReadsEveryKindOfValue) {
  const Options o = loaded(R"(
run: {name: demo, steps: 1e3, threads: 2, verify: true, files: [a.txt, "b c.txt"]}
optim:
  lr: 1.0e-3
  betas: [0.8, 0.99]
  warmup: 200steps
comm: {timeout: 500ms, bucket: 1MiB}
compress:
  codec: topk
  topk: {density: 5%, chunk: 512}
  error_feedback: {name: ef21, decay: 0.95}
  start: 1e6tok
  rules:
    - match: "*.embed_tokens.*"
      codec: bf16
    - {match: "*.norm.*"}
)");
  EXPECT_EQ(o.run.name, "demo");
  EXPECT_EQ(o.run.steps, 1000);
  EXPECT_EQ(o.run.threads, 2);
  EXPECT_TRUE(o.run.verify);
  EXPECT_THAT(o.run.files, ElementsAre("a.txt", "b c.txt"));
  EXPECT_EQ(o.optim.lr, 0.001);
  EXPECT_THAT(o.optim.betas, ElementsAre(0.8, 0.99));
  EXPECT_EQ(o.optim.warmup, (Amount{Amount::Unit::steps, 200}));
  EXPECT_EQ(o.comm.timeout_s, 0.5);
  EXPECT_EQ(o.comm.bucket_bytes, 1 << 20);
  EXPECT_EQ(o.compress.codec, "topk");
  EXPECT_EQ(o.compress.topk.density, 0.05);
  EXPECT_EQ(o.compress.topk.chunk, 512);
  EXPECT_EQ(o.compress.error_feedback.name, "ef21");
  EXPECT_EQ(o.compress.error_feedback.decay, 0.95);
  EXPECT_EQ(o.compress.start, (Amount{Amount::Unit::tokens, 1e6}));
  ASSERT_EQ(o.compress.rules.size(), 2);
  EXPECT_EQ(o.compress.rules[0].match, "*.embed_tokens.*");
  EXPECT_EQ(o.compress.rules[0].codec, "bf16");
  EXPECT_EQ(o.compress.rules[1].match, "*.norm.*");
  EXPECT_EQ(o.compress.rules[1].codec, "none");
}

TEST(Load, NothingWrittenLeavesTheDefaults) {
  for (const char* yaml : {"", "\n", "# only a comment\n", "---\n", "~", "{}", "run:\n", "run: {}\noptim: null\n", "\xef\xbb\xbfrun:\n"}) {
    EXPECT_EQ(loaded(yaml).run.steps, 300) << yaml;
  }
}

TEST(Load, LaterSourcesWinKeyByKey) {
  Options o;
  ASSERT_EQ(load_error(o, {{"a.yaml", "optim: {lr: 1, min_lr: 0.5}\nrun: {steps: 10}"}, {"b.yaml", "optim: {lr: 2}\nrun: {steps: 20}"}},
                       {"run.steps=30", "run.steps=40"}),
            "");
  EXPECT_EQ(o.optim.lr, 2);
  EXPECT_EQ(o.optim.min_lr, 0.5);
  EXPECT_EQ(o.run.steps, 40);
}

TEST(Load, ListsAreReplacedWhole) {
  Options o;
  ASSERT_EQ(load_error(o, {{"a.yaml", "run: {files: [a, b, c]}\ncompress: {rules: [{match: a, codec: bf16}, {match: b}]}"},
                           {"b.yaml", "run: {files: d}\ncompress: {rules: [{match: c}]}"}}),
            "");
  EXPECT_THAT(o.run.files, ElementsAre("d"));
  ASSERT_EQ(o.compress.rules.size(), 1);
  EXPECT_EQ(o.compress.rules[0].match, "c");
  EXPECT_EQ(o.compress.rules[0].codec, "none");
}

TEST(Load, ABareNameSetsTheNameOfItsSection) {
  const Options o = loaded("compress: {error_feedback: {decay: 0.9}}", {"compress.error_feedback=none"});
  EXPECT_EQ(o.compress.error_feedback.name, "none");
  EXPECT_EQ(o.compress.error_feedback.decay, 0.9);
}

TEST(Load, SetTakesYamlValues) {
  const Options o = loaded("", {"optim.betas=[0.9, 0.99]", "compress.rules=[{match: \"*=*\", codec: bf16, topk: {chunk: 8}}, {match: x}]",
                                "comm={timeout: 1h}", "run.name='a=b'", "run.threads=auto", "run.verify=true"});
  EXPECT_THAT(o.optim.betas, ElementsAre(0.9, 0.99));
  ASSERT_EQ(o.compress.rules.size(), 2);
  EXPECT_EQ(o.compress.rules[0].match, "*=*");
  EXPECT_EQ(o.compress.rules[0].topk.chunk, 8);
  EXPECT_EQ(o.comm.timeout_s, 3600);
  EXPECT_EQ(o.run.name, "a=b");
  EXPECT_EQ(o.run.threads, std::nullopt);
  EXPECT_TRUE(o.run.verify);
}

TEST(Load, AliasesStandForWhatTheyName) {
  const Options o = loaded("compress:\n  topk: &t {density: 1%}\n  rules: [{match: a, topk: *t}, &r {match: b}, *r]\n");
  ASSERT_EQ(o.compress.rules.size(), 3);
  EXPECT_EQ(o.compress.rules[0].topk.density, 0.01);
  EXPECT_EQ(o.compress.rules[2].match, "b");
}

TEST(Load, TagsAreIgnored) { EXPECT_EQ(loaded("run: !thing {steps: !!str 7}").run.steps, 7); }

TEST(Load, QuotedWordsAreTexts) {
  EXPECT_EQ(loaded("run: {name: 'null'}").run.name, "null");
  EXPECT_EQ(loaded("run: {name: ''}").run.name, "");
  EXPECT_EQ(loaded("run: {name: true}").run.name, "true");
}

TEST(Load, JsonIsYaml) { EXPECT_EQ(loaded(R"({"run": {"steps": 5, "name": "x"}})").run.steps, 5); }

TEST(Load, ManySectionsInAListKeepTheirValues) {  // the vector moves while it grows
  std::string yaml = "compress:\n  rules:\n";
  for (int i = 0; i < 1000; ++i) yaml += fmt::format("    - {{match: m{}, topk: {{chunk: {}}}}}\n", i, 2 + i);
  const Options o = loaded(yaml);
  ASSERT_EQ(o.compress.rules.size(), 1000);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(o.compress.rules[i].match, fmt::format("m{}", i));
    EXPECT_EQ(o.compress.rules[i].topk.chunk, 2 + i);
  }
}

TEST(ReadFile, GivesNameAndText) {
  const auto path = std::filesystem::path(testing::TempDir()) / "thinwire_config_test.yaml";
  std::ofstream(path) << "run: {steps: 3}\n";
  const Source source = read_file(path);
  EXPECT_EQ(source.name, path.string());
  EXPECT_EQ(source.yaml, "run: {steps: 3}\n");
  std::filesystem::remove(path);
}

TEST(ReadFile, SaysWhyAFileCannotBeRead) {
  const auto message = [](const std::filesystem::path& path) -> std::string {
    try {
      read_file(path);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message("no/such/file.yaml"), HasSubstr("'no/such/file.yaml': No such file"));
  EXPECT_THAT(message(testing::TempDir()), HasSubstr("directory"));
  EXPECT_THAT(message("/dev/zero"), HasSubstr("larger than"));
}

}  // namespace
}  // namespace thinwire::config

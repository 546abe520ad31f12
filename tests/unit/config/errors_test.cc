#include "base/check.h"
#include "example.h"

namespace thinwire::config {
namespace {
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(ConfigErrors, UnknownKeyHasPlaceAndSuggestion) {
  EXPECT_EQ(error_of("compress:\n  codec: topk\n  topk:\n    densty: 5%\n"),
            "a.yaml:4:5: unknown key 'compress.topk.densty' (did you mean 'compress.topk.density'?)");
  EXPECT_EQ(error_of("optmi: {lr: 1}"), "a.yaml:1:1: unknown key 'optmi' (did you mean 'optim'?)");
}

TEST(ConfigErrors, UnknownKeyLikeOneElsewhereNamesThatOne) {
  EXPECT_EQ(error_of("run: {timeouts: 1}"), "a.yaml:1:7: unknown key 'run.timeouts' (did you mean 'comm.timeout'?)");
}

TEST(ConfigErrors, UnknownKeyLikeNothingListsTheKeys) {
  EXPECT_EQ(error_of("comm: {zzzzzzzz: 1}"), "a.yaml:1:8: unknown key 'comm.zzzzzzzz' (keys here: timeout, bucket)");
}

TEST(ConfigErrors, MisplacedKeyNamesItsSection) {
  EXPECT_EQ(error_of("run:\n  lr: 1\n"), "a.yaml:2:3: unknown key 'run.lr' (did you mean 'optim.lr'?)");
  EXPECT_EQ(error_of("lr: 1\n"), "a.yaml:1:1: unknown key 'lr' (did you mean 'optim.lr'?)");
  EXPECT_EQ(error_of("run: {optim: {}}"), "a.yaml:1:7: unknown key 'run.optim' (did you mean 'optim'?)");
  EXPECT_EQ(error_of("optim.timeout: 1"), "a.yaml:1:1: unknown key 'optim.timeout' (did you mean 'comm.timeout'?)");
}

TEST(ConfigErrors, ADottedKeyOfAFileIsShownAsAFileHasIt) {
  EXPECT_EQ(error_of("optim.lr: 1"), "a.yaml:1:1: unknown key 'optim.lr': a file has it as optim: {lr: ...}");
  EXPECT_EQ(error_of("compress: {topk.chunk: 8}"),
            "a.yaml:1:12: unknown key 'compress.topk.chunk': a file has it as compress: {topk: {chunk: ...}}");
  EXPECT_EQ(error_of("optim.lrr: 1"), "a.yaml:1:1: unknown key 'optim.lrr' (did you mean 'optim.lr'?)");
}

TEST(ConfigErrors, KeyWithSeveralHomesNamesTheNearestFirst) {
  EXPECT_EQ(error_of("compress:\n  chunk: 8\n"),
            "a.yaml:2:3: unknown key 'compress.chunk' (did you mean 'compress.topk.chunk' or 'compress.rules[].topk.chunk'?)");
  EXPECT_THAT(error_of("compress:\n  rules:\n    - density: 8\n"), HasSubstr("(did you mean 'compress.rules[].topk.density' or"));
}

TEST(ConfigErrors, KeyNearOneHereAndEqualToOneElsewhereNamesBoth) {
  double value = 0, values = 0;
  auto here = std::make_shared<Section>(), there = std::make_shared<Section>();
  here->real("values", values, {}, "");
  there->real("value", value, {}, "");
  Section root;
  root.add_section("here", here, {}, "");
  root.add_section("there", there, {}, "");
  try {
    load(root, {{"a.yaml", "here: {value: 1}"}}, {});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "a.yaml:1:8: unknown key 'here.value' (did you mean 'here.values' or 'there.value'?)");
  }
}

TEST(ConfigErrors, DuplicateKeyHasBothLines) {
  EXPECT_THAT(error_of("optim:\n  lr: 1\n  min_lr: 0\n  lr: 2\n"),
              AllOf(StartsWith("a.yaml:4:3: duplicate key 'optim.lr'"), HasSubstr("line 2"), HasSubstr("line 4")));
  EXPECT_THAT(error_of("run: {}\noptim: {}\nrun: {}\n"),
              AllOf(StartsWith("a.yaml:3:1: duplicate key 'run'"), HasSubstr("line 1"), HasSubstr("line 3")));
}

TEST(ConfigErrors, WrongTypesSayWhatIsAccepted) {
  EXPECT_EQ(error_of("run:\n  steps: many\n"), "a.yaml:2:10: 'run.steps' cannot be 'many': not an integer (accepted: integer >= 1)");
  EXPECT_THAT(error_of("run: {steps: 2.5}"), AllOf(HasSubstr("'2.5'"), HasSubstr("integer")));
  EXPECT_THAT(error_of("run: {verify: yes}"), AllOf(HasSubstr("'run.verify' cannot be 'yes'"), HasSubstr("true or false")));
  EXPECT_THAT(error_of("run: {threads: all}"), AllOf(HasSubstr("'all'"), HasSubstr("auto or integer from 1 to 64")));
  EXPECT_THAT(error_of("optim: {lr: .nan}"), AllOf(HasSubstr("'.nan'"), HasSubstr("number from 0 to 10")));
  EXPECT_THAT(error_of("comm: {timeout: 5 apples}"), AllOf(HasSubstr("'5 apples'"), HasSubstr("500ms, 60s, 5m")));
  EXPECT_THAT(error_of("comm: {bucket: 4mb}"), AllOf(HasSubstr("'4mb'"), HasSubstr("4MiB")));
  EXPECT_THAT(error_of("optim: {warmup: 0.1}"), AllOf(HasSubstr("'0.1'"), HasSubstr("10%, 200steps")));
  EXPECT_THAT(error_of("compress: {topk: {density: lots}}"), AllOf(HasSubstr("'lots'"), HasSubstr("5% or 0.05")));
}

TEST(ConfigErrors, OutOfRangeShowsTheRangeInTheUnitOfTheKey) {
  EXPECT_EQ(error_of("run: {steps: 0}"), "a.yaml:1:14: 'run.steps' cannot be '0': too small (accepted: integer >= 1)");
  EXPECT_THAT(error_of("compress: {topk: {density: 150%}}"), AllOf(HasSubstr("'150%': too large"), HasSubstr("from 0% to 100%")));
  EXPECT_THAT(error_of("comm: {bucket: 2GB}"), AllOf(HasSubstr("'2GB': too large"), HasSubstr("from 1kB to 1GB")));
  EXPECT_THAT(error_of("comm: {timeout: 0}"), AllOf(HasSubstr("too small"), HasSubstr("from 1ms to 86400s")));
  EXPECT_THAT(error_of("optim: {min_lr: -1}"), AllOf(HasSubstr("too small"), HasSubstr("number >= 0")));
}

TEST(ConfigErrors, WrongChoiceListsAllAndSuggestsOne) {
  EXPECT_EQ(error_of("compress: {codec: topkk}"),
            "a.yaml:1:19: 'compress.codec' cannot be 'topkk': no such choice (did you mean 'topk'?) (accepted: one of none | bf16 | topk)");
}

TEST(ConfigErrors, ListsOfNumbersHaveALength) {
  EXPECT_THAT(error_of("optim: {betas: [0.9]}"),
              AllOf(StartsWith("a.yaml:1:16: 'optim.betas'"), HasSubstr("1 given"), HasSubstr("list of 2 numbers")));
  EXPECT_THAT(error_of("optim: {betas: [0.9, x]}"), HasSubstr("'x' is not a number"));
  EXPECT_THAT(error_of("optim: {betas: [0.9, 1.5]}"), HasSubstr("'1.5' is too large"));
  EXPECT_THAT(error_of("optim: {betas: [0.9, [1]]}"), HasSubstr("'optim.betas'"));
  EXPECT_THAT(error_of("optim: {betas: {a: 1}}"), HasSubstr("a list is wanted"));
}

TEST(ConfigErrors, TheShapeMustFit) {
  EXPECT_THAT(error_of("optim: 3"), AllOf(StartsWith("a.yaml:1:8: 'optim' is a section"), HasSubstr("'3'"), HasSubstr("lr, betas")));
  EXPECT_THAT(error_of("optim:\n  - lr: 3"), AllOf(StartsWith("a.yaml:2:3: 'optim' is a section"), HasSubstr("[a section]")));
  EXPECT_THAT(error_of("run: {steps: {a: 1}}"),
              AllOf(StartsWith("a.yaml:1:14: 'run.steps' cannot be a section"), HasSubstr("single value")));
  EXPECT_THAT(error_of("run: {steps: [1, 2]}"), AllOf(HasSubstr("'run.steps' cannot be ['1', '2']"), HasSubstr("single value")));
  EXPECT_THAT(error_of("compress: {rules: {match: a}}"),
              AllOf(StartsWith("a.yaml:1:19:"), HasSubstr("'compress.rules' is a list of sections")));
  EXPECT_THAT(error_of("compress: {rules: [bf16]}"), AllOf(StartsWith("a.yaml:1:20:"), HasSubstr("'compress.rules[0]' is a section")));
  EXPECT_THAT(error_of("- run\n"), AllOf(StartsWith("a.yaml:1:1:"), HasSubstr("key: value")));
  EXPECT_THAT(error_of("? [a, b]\n: 1\n"), AllOf(StartsWith("a.yaml:1:3:"), HasSubstr("a key is a plain word")));
}

TEST(ConfigErrors, AMissingValuePointsAtItsKey) {
  EXPECT_THAT(error_of("run:\n  steps:\n  name: x\n"),
              AllOf(StartsWith("a.yaml:2:3: 'run.steps' cannot be empty"), HasSubstr("integer >= 1")));
  EXPECT_THAT(error_of("run:\n  name:\n"), HasSubstr("an empty text is ''"));
  EXPECT_THAT(error_of("run:\n  files:\n"), HasSubstr("an empty list is []"));
  EXPECT_THAT(error_of("compress:\n  rules:\n"), AllOf(StartsWith("a.yaml:2:3:"), HasSubstr("the empty list is []")));
}

TEST(ConfigErrors, MistakesInListsOfSectionsHaveTheirIndex) {
  EXPECT_EQ(error_of("compress:\n  rules:\n    - match: a\n    - match: b\n      codek: bf16\n"),
            "a.yaml:5:7: unknown key 'compress.rules[1].codek' (did you mean 'compress.rules[1].codec'?)");
}

TEST(ConfigErrors, AllErrorsOfAllSourcesComeInOrder) {
  Options o;
  EXPECT_EQ(load_error(o, {{"a.yaml", "run:\n  lr: 1\n  steps: 0\noptim: {}\nrun: {}\n"}, {"b.yaml", "optim: 3\ncomm: {bukcet: 4MB}\n"}},
                       {"optim.lr=x", "novalue", "compress.topk.chunk=1"}),
            "a.yaml:2:3: unknown key 'run.lr' (did you mean 'optim.lr'?)\n"
            "a.yaml:3:10: 'run.steps' cannot be '0': too small (accepted: integer >= 1)\n"
            "a.yaml:5:1: duplicate key 'run': on line 1 and again on line 5; keep one of them\n"
            "b.yaml:1:8: 'optim' is a section and cannot be '3' (its keys: lr, betas, warmup, min_lr)\n"
            "b.yaml:2:8: unknown key 'comm.bukcet' (did you mean 'comm.bucket'?)\n"
            "--set optim.lr=x: 'optim.lr' cannot be 'x': not a number (accepted: number from 0 to 10)\n"
            "--set novalue: expected key=value, such as optim.lr=0.001\n"
            "--set compress.topk.chunk=1: 'compress.topk.chunk' cannot be '1': too small (accepted: integer from 2 to 4096)");
}

TEST(ConfigErrors, SetPathsAreCheckedAndSuggested) {
  EXPECT_EQ(set_error("optim.lrr=1"), "--set optim.lrr=1: unknown key 'optim.lrr' (did you mean 'optim.lr'?)");
  EXPECT_EQ(set_error("optmi.lr=1"), "--set optmi.lr=1: unknown key 'optmi.lr' (did you mean 'optim.lr'?)");
  EXPECT_EQ(set_error("optmi.lrr=1"), "--set optmi.lrr=1: unknown key 'optmi.lrr' (did you mean 'optim.lr'?)");
  EXPECT_EQ(set_error("optmi.zzzzzz=1"), "--set optmi.zzzzzz=1: unknown key 'optmi.zzzzzz' (did you mean 'optim'?)");
  EXPECT_EQ(set_error("lr=1"), "--set lr=1: unknown key 'lr' (did you mean 'optim.lr'?)");
  EXPECT_EQ(set_error("stepz=1"), "--set stepz=1: unknown key 'stepz' (did you mean 'run.steps'?)");
  EXPECT_THAT(set_error("optim.lr.x=1"), HasSubstr("'optim.lr' has no keys of its own"));
  EXPECT_THAT(set_error("compress.rules.codec=1"), AllOf(HasSubstr("'compress.rules' has no keys of its own"), HasSubstr("as a whole")));
  EXPECT_THAT(set_error("=1"), HasSubstr("expected key=value"));
  EXPECT_THAT(set_error("optim.=1"), HasSubstr("unknown key 'optim.'"));
  EXPECT_THAT(set_error("run.steps="), HasSubstr("'run.steps' cannot be empty"));
  EXPECT_THAT(set_error("optim={lr: 1, lr: 2}"), HasSubstr("duplicate key 'optim.lr'"));
  EXPECT_THAT(set_error("run.name=[a"), AllOf(StartsWith("--set run.name=[a: not valid YAML"), Not(HasSubstr(":1:"))));
}

TEST(ConfigErrors, RulesPointAtWhereTheirKeyWasLastSet) {
  Options o;
  EXPECT_EQ(load_error(o, {{"a.yaml", "optim:\n  min_lr: 1\n"}, {"b.yaml", "optim:\n  lr: 0.1\n  min_lr: 2\n"}}),
            "b.yaml:3:3: optim.min_lr: is larger than lr");
  EXPECT_EQ(set_error("optim.min_lr=2"), "--set optim.min_lr=2: optim.min_lr: is larger than lr");
  Options defaults;
  defaults.optim.min_lr = 5;
  EXPECT_EQ(load_error(defaults, {}), "optim.min_lr: is larger than lr");
  EXPECT_EQ(error_of("compress:\n  rules:\n  - codec: bf16\n"), "compress.rules[0].match: a rule needs a pattern");
}

TEST(ConfigErrors, AllBrokenRulesAreTold) {
  EXPECT_EQ(error_of("optim: {min_lr: 3, warmup: 50}\nrun: {steps: 10}\ncompress:\n  rules: [{match: ''}]\n"),
            "a.yaml:1:9: optim.min_lr: is larger than lr\n"
            "a.yaml:2:7: run.steps: the warm-up is longer than the run\n"
            "a.yaml:4:12: compress.rules[0].match: a rule needs a pattern");
}

TEST(ConfigErrors, RulesWaitUntilTheirSectionIsRight) {
  const std::string message = error_of("optim: {min_lr: 3, lr: x}\ncompress: {rules: [{codec: bf16}]}\n");
  EXPECT_THAT(message, Not(HasSubstr("is larger than lr")));
  EXPECT_THAT(message, HasSubstr("a rule needs a pattern"));
}

TEST(ConfigErrors, AnUnreadableSourceSilencesTheRules) {
  Options o;
  o.optim.min_lr = 5;
  EXPECT_THAT(load_error(o, {{"a.yaml", "optim: [\n"}}), AllOf(StartsWith("a.yaml:"), Not(HasSubstr("larger"))));
}

TEST(ConfigErrors, ADescriptionWithAKeyTwiceIsOurOwnBug) {
  double value = 0;
  Section section;
  section.real("x", value, {}, "");
  EXPECT_THROW(section.real("x", value, {}, ""), BrokenInvariant);
  EXPECT_THROW(section.real("a.b", value, {}, ""), BrokenInvariant);
}

}  // namespace
}  // namespace thinwire::config

#include "exchange/plan.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "config/load.h"
#include "tests/unit/exchange/support.h"

namespace thinwire::exchange {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

CompressOptions options_of(const std::string& yaml) {
  CompressOptions options;
  config::Section section = config::describe_root(options);
  config::load(section, {{"test.yaml", yaml}}, {});
  return options;
}

const std::vector<ParameterShape> kModel = {{"model.embed_tokens.weight", 64, 32},
                                            {"model.layers.0.q_proj.weight", 32, 32},
                                            {"model.layers.0.norm.weight", 1, 32},
                                            {"model.layers.1.q_proj.weight", 32, 32},
                                            {"model.head.weight", 1, 1023}};

std::vector<std::string> codecs_of(const std::vector<SlotSpec>& slots) {
  std::vector<std::string> names;
  for (const SlotSpec& slot : slots) names.emplace_back(slot.codec->name());
  return names;
}
std::vector<std::string> codecs_of(const std::string& yaml) { return codecs_of(plan_slots(kModel, options_of(yaml))); }

using Names = std::vector<std::string>;

TEST(PlanSlots, KeepsNamesShapesAndOrder) {
  const auto slots = plan_slots(kModel, options_of("codec: topk"));
  ASSERT_EQ(slots.size(), kModel.size());
  for (size_t i = 0; i < slots.size(); ++i) {
    EXPECT_EQ(slots[i].name, kModel[i].name);
    EXPECT_EQ(slots[i].rows, kModel[i].rows);
    EXPECT_EQ(slots[i].cols, kModel[i].cols);
  }
}

TEST(PlanSlots, SendsWhatHasFewerThanMinElemsDense) {
  EXPECT_EQ(codecs_of("{codec: topk, min_elems: 1024}"), (Names{"topk", "topk", "none", "topk", "none"})) << "1024 is enough, 1023 is not";
  EXPECT_EQ(codecs_of("{codec: topk, min_elems: 1025}"), (Names{"topk", "none", "none", "none", "none"}));
  EXPECT_EQ(codecs_of("{codec: topk, min_elems: 0}"), (Names(5, "topk")));
}

TEST(PlanSlots, SaysWhyASlotIsDense) {
  const auto slots = plan_slots(kModel, options_of("{codec: topk, min_elems: 1024, rules: [{match: '*.embed_tokens.*', codec: none}]}"));
  EXPECT_THAT(slots[0].why_dense, HasSubstr("*.embed_tokens.*"));
  EXPECT_THAT(slots[2].why_dense, AllOf(HasSubstr("32 elements"), HasSubstr("min_elems 1024")));
  EXPECT_EQ(slots[1].why_dense, "");
}

// Rank 8 of 32 x 32: 512 numbers of 1024 are not more than two times fewer.
TEST(PlanSlots, SaysWhyACodecLeavesAShapeAsItIs) {
  const auto slots = plan_slots(kModel, options_of("{codec: powersgd, powersgd: {rank: 8}}"));
  EXPECT_EQ(slots[0].why_dense, "");
  EXPECT_THAT(slots[1].why_dense, HasSubstr("powersgd.min_compression"));
  const auto plan = configured_plan(slots, 2);
  EXPECT_EQ(plan.layers[1].choice, "none");
  EXPECT_EQ(plan.layers[1].payload_bytes, 4096);
  EXPECT_THAT(plan.layers[0].choice, HasSubstr("powersgd"));
}

// Of 2048 normal numbers hardly one is 0: a bit each, and a scale for each 1024 or so.
TEST(PlanSlots, ShowsBytesThatAreToBeExpected) {
  const auto plan = configured_plan(plan_slots(kModel, options_of("codec: sign")), 2);
  EXPECT_GE(plan.layers[0].payload_bytes, 2048 / 8);
  EXPECT_LE(plan.layers[0].payload_bytes, 2048 / 8 + 64);
}

TEST(PlanOptions, NeedAStrengthToVaryAndAnErrorToSpend) {
  const auto refusal = [](const std::string& yaml) {
    try {
      options_of(yaml);
      return std::string();
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
  };
  EXPECT_THAT(refusal("{codec: none, plan: {method: lgreco, candidates: mixed}}"), HasSubstr("nothing to plan with codec: none"));
  EXPECT_THAT(refusal("{codec: sign, plan: lgreco}"), HasSubstr("codec sign has no strength"));
  EXPECT_THAT(refusal("{codec: topk, plan: {method: lgreco, alpha: 0}}"), HasSubstr("alpha"));
  EXPECT_EQ(refusal("{codec: sign, plan: {method: lgreco, candidates: mixed}}"), "");
  EXPECT_EQ(refusal("{codec: sparseloco, plan: lgreco}"), "");
}

TEST(PlanSlots, LetsARuleWinOverMinElems) {
  EXPECT_EQ(codecs_of("{codec: topk, rules: [{match: '*.norm.*', codec: bf16}]}"), (Names{"topk", "topk", "bf16", "topk", "none"}));
}

TEST(PlanSlots, LetsTheFirstMatchingRuleWin) {
  EXPECT_EQ(codecs_of("{codec: topk, rules: [{match: '*.0.*', codec: bf16}, {match: '*q_proj*', codec: none}]}"),
            (Names{"topk", "bf16", "bf16", "none", "none"}));
}

TEST(PlanSlots, LetsARuleCompressWhereTheDefaultDoesNot) {
  EXPECT_EQ(codecs_of("{codec: none, rules: [{match: '*.embed_tokens.weight', codec: topk}]}"),
            (Names{"topk", "none", "none", "none", "none"}));
}

TEST(PlanSlots, SharesOneCodecAmongEqualChoices) {
  const auto slots = plan_slots(kModel, options_of(R"(
codec: topk
topk: {density: 10%}
rules:
  - {match: "*.embed_tokens.*", codec: topk, topk: {density: 0.1}}
  - {match: "*.norm.*", codec: bf16}
  - {match: "*.1.q_proj.*", codec: bf16}
  - {match: "*.head.*", codec: topk, topk: {density: 20%}}
)"));
  EXPECT_EQ(slots[0].codec, slots[1].codec) << "the rule repeats the default";
  EXPECT_EQ(slots[2].codec, slots[3].codec) << "two rules with one choice";
  EXPECT_NE(slots[4].codec, slots[1].codec) << "another density";
}

TEST(PlanSlots, SharesTheDenseCodecHoweverItWasChosen) {
  const auto slots = plan_slots(kModel, options_of("{codec: none, rules: [{match: '*.embed_tokens.*', codec: none}]}"));
  for (const SlotSpec& slot : slots) EXPECT_EQ(slot.codec, slots[0].codec);
}

TEST(PlanSlots, ReencodesWhatIsGatheredAndMayBeCut) {
  using compressors::Combine;
  const auto combines = [](const std::string& yaml) {
    std::vector<Combine> all;
    for (const SlotSpec& slot : plan_slots(kModel, options_of(yaml))) all.push_back(slot.combine());
    return all;
  };
  constexpr Combine kGather = Combine::gather, kReencode = Combine::reencode, kSketch = Combine::sketch;
  EXPECT_EQ(combines("{codec: topk, min_elems: 1024}"), (std::vector{kGather, kGather, kReencode, kGather, kReencode}));
  EXPECT_EQ(combines("{codec: topk, combine: reencode, min_elems: 0}"), std::vector(5, kReencode));
  EXPECT_EQ(combines("{codec: powersgd, combine: reencode, min_elems: 0}"), std::vector(5, kSketch));
}

std::string refusal_of(const std::string& yaml) {
  try {
    plan_slots(kModel, options_of(yaml));
  } catch (const ConfigError& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    return e.what();
  }
  return "";
}

TEST(PlanSlots, RefusesFeedbackAroundACodecThatEnlarges) {
  const std::string codec = "codec: randomk, min_elems: 0, randomk: {density: 1%, unbiased: true}";
  EXPECT_THAT(refusal_of("{" + codec + "}"), AllOf(HasSubstr("compress.error_feedback"), HasSubstr("'model.embed_tokens.weight'"),
                                                   HasSubstr("unbiased=true"), HasSubstr("error_feedback: none")));
  EXPECT_EQ(refusal_of("{" + codec + ", error_feedback: none}"), "");
}

TEST(PlanSlots, RefusesToReencodeWhatCannotBeCut) {
  for (const std::string codec : {"topk, topk: {scope: global, index_coding: rice}", "sparseloco"}) {
    EXPECT_THAT(
        refusal_of("{combine: reencode, min_elems: 0, codec: " + codec + "}"),
        AllOf(HasSubstr("compress.combine"), HasSubstr(codec.substr(0, 4)), HasSubstr("cannot be cut"), HasSubstr("combine: auto")));
  }
}

TEST(PlanSlots, RefusesARuleThatMatchesNothing) {
  EXPECT_THAT(
      refusal_of("rules: [{match: model.embed_token.weight, codec: bf16}]"),
      AllOf(HasSubstr("compress.rules"), HasSubstr("'model.embed_token.weight'"), HasSubstr("did you mean 'model.embed_tokens.weight'?")));
  EXPECT_THAT(refusal_of("rules: [{match: '*.0.*', codec: bf16}, {match: '*.wq.*', codec: bf16}]"),
              AllOf(HasSubstr("'*.wq.*'"), Not(HasSubstr("'*.0.*'")), HasSubstr("names look like 'model.embed_tokens.weight'")));
}

}  // namespace
}  // namespace thinwire::exchange

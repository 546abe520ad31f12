#include "exchange/options.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "config/load.h"

namespace thinwire::exchange {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <class Options>
Options load(const std::string& yaml) {
  Options options;
  config::Section section = config::describe_root(options);
  config::load(section, {{"test.yaml", yaml}}, {});
  return options;
}

template <class Options>
std::string refusal_of(const std::string& yaml) {
  try {
    load<Options>(yaml);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

TEST(ExchangeOptions, AreSetByTheirKeys) {
  const auto o = load<ExchangeOptions>(
      "{schedule: local_steps, every: 7, outer: {name: nesterov, lr: 0.7, momentum: 0.8}, bucket: 2MB, overlap: false}");
  EXPECT_EQ(o.schedule, "local_steps");
  EXPECT_EQ(o.every, 7);
  EXPECT_EQ(o.outer.name, "nesterov");
  EXPECT_EQ(o.outer.lr, 0.7);
  EXPECT_EQ(o.outer.momentum, 0.8);
  EXPECT_EQ(o.bucket_bytes, 2'000'000);
  EXPECT_FALSE(o.overlap);
  EXPECT_EQ(load<ExchangeOptions>("outer: nesterov").outer.name, "nesterov");
}

TEST(ExchangeOptions, AreRefusedOutOfRange) {
  EXPECT_THAT(refusal_of<ExchangeOptions>("every: 0"), AllOf(HasSubstr("test.yaml:1:"), HasSubstr("every")));
  EXPECT_THAT(refusal_of<ExchangeOptions>("bucket: 3"), HasSubstr("bucket"));
  EXPECT_THAT(refusal_of<ExchangeOptions>("schedule: local_step"), HasSubstr("did you mean 'local_steps'?"));
  EXPECT_THAT(refusal_of<ExchangeOptions>("outer: adam"), HasSubstr("sgd"));
}

TEST(CompressOptions, AreSetByTheirKeys) {
  const auto o = load<CompressOptions>(R"(
codec: topk
error_feedback: {name: none, decay: 95%}
min_elems: 10
start: 5%
rules:
  - {match: "*.embed_tokens.*", codec: bf16}
  - {match: "lm_head.?", codec: none}
)");
  EXPECT_EQ(o.choice.codec, "topk");
  EXPECT_EQ(o.error_feedback.name, "none");
  EXPECT_EQ(o.error_feedback.decay, 0.95);
  EXPECT_EQ(o.min_elems, 10);
  EXPECT_EQ(o.start.to_steps(200, 1), 10);
  ASSERT_EQ(o.rules.size(), 2u);
  EXPECT_EQ(o.rules[0].match, "*.embed_tokens.*");
  EXPECT_EQ(o.rules[0].choice.codec, "bf16");
  EXPECT_EQ(o.rules[1].choice.codec, "none");
  EXPECT_EQ(load<CompressOptions>("error_feedback: ef14").error_feedback.name, "ef14");
}

TEST(CompressOptions, AreRefusedWhenARuleHasNoPattern) {
  EXPECT_THAT(refusal_of<CompressOptions>("rules: [{codec: bf16}]"), HasSubstr("a rule needs a pattern"));
  EXPECT_THAT(refusal_of<CompressOptions>("error_feedback: {decay: 1.5}"), HasSubstr("decay"));
  EXPECT_THAT(refusal_of<CompressOptions>("error_feedback: ef15"), HasSubstr("did you mean 'ef14'?"));
}

}  // namespace
}  // namespace thinwire::exchange

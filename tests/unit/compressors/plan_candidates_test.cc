// What a plan may choose from: the sweeps of L-GreCo section 5.1, and texts that make the same compressor again.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "compressors/plan/candidates.h"
#include "config/load.h"

namespace thinwire::compressors {
namespace {

CodecChoice choice_of(const std::vector<std::string>& sets) {
  CodecChoice choice;
  config::Section section;
  describe(section, choice);
  config::load(section, {}, sets);
  return choice;
}

std::vector<std::string> texts_of(const CandidateSet& set) {
  std::vector<std::string> texts;
  for (const Candidate& candidate : set.candidates) texts.push_back(candidate.text);
  return texts;
}

constexpr Layer kChunk{.id = 0, .rows = 1, .cols = 4096};

TEST(PlanCandidates, TopkFromATenthToTenTimesInTenths) {
  const CandidateSet set = make_candidates(choice_of({"codec=topk", "topk.density=1%"}), {});
  ASSERT_EQ(set.candidates.size(), 101u);
  EXPECT_EQ(set.candidates[0].text, "none");
  EXPECT_EQ(set.candidates[1].text, "topk density=0.1%");
  EXPECT_EQ(set.candidates[set.uniform].text, "topk density=1%");
  EXPECT_EQ(set.candidates[set.gentle].text, "topk density=2%");
  EXPECT_EQ(set.candidates[set.harsh].text, "topk density=0.5%");
  EXPECT_EQ(set.candidates[100].text, "topk density=10%");
  for (size_t i = 1; i <= 100; ++i) {
    const auto kept = std::max<size_t>(1, (4096 * i + 500) / 1000);  // round(4096 * i / 1000); no tie occurs
    EXPECT_EQ(set.candidates[i].compressor->traits(kChunk).exact_bytes, 1 + 2 * kept + (3 * kept + 1) / 2) << set.candidates[i].text;
  }
}

TEST(PlanCandidates, DensitiesEndAtOne) {
  const CandidateSet set = make_candidates(choice_of({"codec=topk", "topk.density=30%"}), {});
  EXPECT_EQ(set.candidates.back().text, "topk density=100%");
  EXPECT_EQ(set.candidates[set.uniform].text, "topk density=30%");
  EXPECT_EQ(make_candidates(choice_of({"codec=topk", "topk.density=100%"}), {}).candidates.back().text, "topk density=100%");
}

TEST(PlanCandidates, KeepsTheOtherOptionsAsConfigured) {
  const CodecChoice choice = choice_of({"codec=topk", "topk.chunk=64", "topk.density=25%"});
  const CandidateSet set = make_candidates(choice, {});
  EXPECT_EQ(set.candidates[set.uniform].compressor->traits(kChunk).split_elems, 64u);
  EXPECT_EQ(set.candidates[set.uniform].compressor->traits(kChunk).exact_bytes, choice.make()->traits(kChunk).exact_bytes);
}

TEST(PlanCandidates, TheUniformOneIsAsConfiguredHoweverOddItsStrength) {
  const CodecChoice choice = choice_of({"codec=topk", "topk.density=0.33333333"});
  const CandidateSet set = make_candidates(choice, {});
  EXPECT_EQ(make_by_text(choice, set.candidates[set.uniform].text)->traits(kChunk).exact_bytes, choice.make()->traits(kChunk).exact_bytes);
}

TEST(PlanCandidates, TextsMakeTheSameAgain) {
  const CodecChoice choice = choice_of({"codec=topk"});
  for (const Candidate& candidate : make_candidates(choice, {}).candidates) {
    const auto again = make_by_text(choice, candidate.text);
    EXPECT_EQ(again->id(), candidate.compressor->id());
    EXPECT_EQ(again->traits(kChunk).exact_bytes, candidate.compressor->traits(kChunk).exact_bytes) << candidate.text;
  }
  EXPECT_THROW(make_by_text(choice, "topq density=1%"), ConfigError);
  EXPECT_THROW(make_by_text(choice, "topk density=200%"), ConfigError);
  EXPECT_THROW(make_by_text(choice, "topk dnesity=2%"), ConfigError);
}

TEST(PlanCandidates, ACodecWithoutAStrengthIsOneCandidate) {
  const CandidateSet set = make_candidates(choice_of({"codec=bf16"}), {});
  EXPECT_EQ(texts_of(set), (std::vector<std::string>{"none", "bf16"}));
  EXPECT_EQ(set.uniform, 1u);
  EXPECT_EQ(set.gentle, 1u);
  EXPECT_EQ(set.harsh, 1u);
  EXPECT_EQ(texts_of(make_candidates(choice_of({"codec=none"}), {})), (std::vector<std::string>{"none"}));
}

TEST(PlanCandidates, MixedAddsTheOtherFamiliesThatThereAre) {
  PlanOptions options;
  options.candidates = "mixed";
  const CandidateSet set = make_candidates(choice_of({"codec=bf16", "topk.density=1%"}), options);
  EXPECT_EQ(set.candidates[set.uniform].text, "bf16");
  size_t listed = 0;
  for (const Family& family : set.families) {
    EXPECT_EQ(family.begin, listed);
    listed += std::max<size_t>(1, family.values.size());
  }
  EXPECT_EQ(listed, set.candidates.size());
  const auto texts = texts_of(set);
  EXPECT_NE(std::ranges::find(texts, "topk density=1%"), texts.end());
}

TEST(PlanOptionsSection, RefusesMoreSamplesThanThereAreExchanges) {
  PlanOptions options;
  config::Section section = config::describe_root(options);
  EXPECT_THROW(config::load(section, {}, {"every=3", "samples=4"}), ConfigError);
  EXPECT_NO_THROW(config::load(section, {}, {"every=4", "samples=4", "method=lgreco"}));
}

}  // namespace
}  // namespace thinwire::compressors

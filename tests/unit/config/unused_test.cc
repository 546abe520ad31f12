// Keys of an alternative that was not chosen.
#include "base/check.h"
#include "example.h"

namespace thinwire::config {
namespace {
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> unused(const std::vector<Source>& sources, const std::vector<std::string>& sets = {}) {
  Options options;
  Section root = describe_root(options);
  return load(root, sources, sets);
}

TEST(UnusedKeys, AreToldWithTheirPlaceAndWhoWouldLookAtThem) {
  EXPECT_THAT(unused({{"a.yaml", "compress:\n  codec: bf16\n  topk: {density: 5%}\n"}}),
              ElementsAre("a.yaml:3:10: 'compress.topk.density' has no effect: compress.codec is bf16, and it is for topk only"));
  EXPECT_THAT(unused({}, {"compress.error_feedback=none", "compress.error_feedback.decay=0.5"}),
              ElementsAre("--set compress.error_feedback.decay=0.5: 'compress.error_feedback.decay' has no effect: "
                          "compress.error_feedback.name is none, and it is for ef14 or ef21 only"));
}

TEST(UnusedKeys, AreToldWhereNobodyHasChosen) {
  EXPECT_THAT(unused({{"a.yaml", "compress: {topk: {chunk: 8}}\n"}}),
              ElementsAre("a.yaml:1:19: 'compress.topk.chunk' has no effect: compress.codec is none, and it is for topk only"));
}

TEST(UnusedKeys, AreNoneWhereTheirAlternativeIsChosenOrTheirValueIsTheDefault) {
  EXPECT_THAT(unused({{"a.yaml", "compress: {codec: topk, topk: {density: 5%}, error_feedback: {name: ef21, decay: 0.5}}\n"}}), IsEmpty());
  EXPECT_THAT(unused({{"a.yaml", "compress: {topk: {density: 6.25%, chunk: 4096}}\n"}}), IsEmpty());
  Options options;
  EXPECT_THAT(unused({{"printed", printed(options)}}), IsEmpty());
}

TEST(UnusedKeys, ThatALaterSourcePutsAsideAreNotTold) {
  const Source chosen{"a.yaml", "compress: {codec: topk, topk: {density: 5%}}\n"};
  EXPECT_THAT(unused({chosen}, {"compress.codec=none"}), IsEmpty());
  EXPECT_THAT(unused({chosen, {"b.yaml", "compress: {codec: bf16}\n"}}), IsEmpty());
  EXPECT_EQ(unused({chosen}, {"compress.topk.chunk=8", "compress.codec=none"}).size(), 1u) << "all of --set are one source";
  EXPECT_EQ(unused({chosen, {"b.yaml", "compress: {codec: bf16, topk: {density: 4%}}\n"}}).size(), 1u);
}

TEST(UnusedKeys, OfElementsOfListsHaveTheirIndex) {
  EXPECT_THAT(
      unused({{"a.yaml", "compress:\n  rules:\n  - {match: a, codec: topk, topk: {chunk: 8}}\n  - {match: b, topk: {chunk: 8}}\n"}}),
      ElementsAre("a.yaml:4:23: 'compress.rules[1].topk.chunk' has no effect: compress.rules[1].codec is none, and it is for topk only"));
}

TEST(UnusedKeys, OfOneAlternativeMayCountForAnotherReason) {
  std::string chosen = "a";
  double of_b = 1;
  bool mixes = false;
  Section root;
  root.choice("chosen", chosen, {"a", "b"}, "");
  root.real("of_b", of_b, {}, "");
  root.only({"of_b"}, {"chosen", {"b"}, [&mixes] { return mixes; }});
  EXPECT_EQ(load(root, {{"a.yaml", "of_b: 2"}}, {}).size(), 1u);
  mixes = true;
  EXPECT_THAT(load(root, {{"a.yaml", "of_b: 3"}}, {}), IsEmpty());
}

TEST(UnusedKeys, WaitUntilThereAreNoErrors) {
  EXPECT_EQ(error_of("compress: {topk: {chunk: 8}}\nrun: {steps: x}\n"),
            "a.yaml:2:14: 'run.steps' cannot be 'x': not an integer (accepted: integer >= 1)");
}

TEST(UnusedKeys, OfWhatIsNotDescribedAreOurOwnBug) {
  double value = 0;
  Section section;
  section.real("x", value, {}, "");
  EXPECT_THROW(section.only({"y"}, {"x", {"1"}}), BrokenInvariant);
  EXPECT_THROW(section.only({"x"}, {"y", {"1"}}), BrokenInvariant);
}

}  // namespace
}  // namespace thinwire::config

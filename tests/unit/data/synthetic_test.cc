#include <gtest/gtest.h>

#include <array>
#include <set>

#include "data/corpus.h"

namespace thinwire::data {
namespace {

Corpus synthetic(uint64_t seed) {
  DataOptions options;
  options.source = "synthetic";
  return load_corpus(options, seed, 256);
}

TEST(Synthetic, SaysWhatItIs) {
  const Corpus corpus = synthetic(1);
  EXPECT_TRUE(corpus.synthetic);
  EXPECT_NE(corpus.description.find("SYNTHETIC data, for throughput only"), std::string::npos) << corpus.description;
}

TEST(Synthetic, IsFourMegabytesSplitLikeAnyOther) {
  const Corpus corpus = synthetic(1);
  EXPECT_EQ(corpus.train.size(), 3'600'000u);
  EXPECT_EQ(corpus.test.size(), 200'000u);
  EXPECT_EQ(corpus.validation.size(), 200'000u);
}

TEST(Synthetic, IsAFunctionOfTheSeed) {
  EXPECT_EQ(synthetic(7).train, synthetic(7).train);
  EXPECT_EQ(synthetic(7).hash, synthetic(7).hash);
  EXPECT_NE(synthetic(7).hash, synthetic(8).hash);
}

TEST(Synthetic, IsPrintableAndEachByteHasFewSuccessors) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Corpus corpus = synthetic(seed);
    std::array<std::set<uint8_t>, 256> successors;
    std::set<uint8_t> symbols;
    for (size_t i = 1; i < corpus.train.size(); ++i) {
      successors[corpus.train[i - 1]].insert(corpus.train[i]);
      symbols.insert(corpus.train[i]);
    }
    for (const auto& following : successors) EXPECT_LE(following.size(), 4u);  // two bits per byte
    EXPECT_GE(symbols.size(), 32u);                                            // and no walk into a dead end
    EXPECT_GE(*symbols.begin(), 0x20);
    EXPECT_LE(*symbols.rbegin(), 0x7e);
  }
}

}  // namespace
}  // namespace thinwire::data

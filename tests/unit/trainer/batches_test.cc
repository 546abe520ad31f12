#include "trainer/batches.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "trainer/evaluate.h"
#include "trainer/options.h"

namespace thinwire::trainer {
namespace {

data::Corpus counting_corpus() {
  data::Corpus corpus;
  corpus.train.resize(1000);
  std::iota(corpus.train.begin(), corpus.train.end(), uint8_t{0});
  corpus.validation = corpus.train;
  return corpus;
}

TEST(Batches, TargetsAreTheNextTokens) {
  const std::vector<uint8_t> split = {10, 11, 12, 13, 14, 15};
  const Batch batch = make_batch(split, std::vector<int64_t>{0, 2}, 3);
  EXPECT_TRUE(at::equal(batch.tokens, at::tensor({10, 11, 12, 12, 13, 14}, at::kLong).view({2, 3})));
  EXPECT_TRUE(at::equal(batch.targets, at::tensor({11, 12, 13, 13, 14, 15}, at::kLong).view({2, 3})));
  EXPECT_THROW(make_batch(split, std::vector<int64_t>{3}, 3), BrokenInvariant);
}

TEST(Batches, RanksSeeWhatOneRankSeesInMicroBatches) {
  const auto corpus = counting_corpus();
  const TrainBatches alone(corpus, 1, 8, 2, /*micro_batches=*/4, 0, 1);
  for (const int world : {2, 4}) {
    for (int rank = 0; rank < world; ++rank) {
      const TrainBatches shared(corpus, 1, 8, 2, 4 / world, rank, world);
      for (int64_t micro = 0; micro < 4 / world; ++micro) {
        EXPECT_TRUE(at::equal(shared.get(7, micro).tokens, alone.get(7, rank * (4 / world) + micro).tokens)) << world << ' ' << rank;
      }
    }
  }
}

TEST(Batches, ValidationWindowsSpanTheSplit) {
  const auto corpus = counting_corpus();
  const Batch first = validation_batch(corpus, 8, 2, 5, 0), last = validation_batch(corpus, 8, 2, 5, 4);
  EXPECT_EQ(first.tokens[0][0].item<int64_t>(), 0);
  EXPECT_EQ(last.targets[1][7].item<int64_t>(), 999 % 256);  // the very last token is a target
}

TEST(BatchArithmetic, NamesTheEquationAndTheNearestValues) {
  data::DataOptions o;
  o.global_batch = 24;
  o.micro_batch = 4;
  EXPECT_EQ(micro_batches_per_rank(o, 2), 3);
  o.global_batch = 20;
  try {
    micro_batches_per_rank(o, 2);
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(), "data.global_batch 20 is not a multiple of data.micro_batch 4 x 2 ranks = 8; the nearest that are: 16 and 24");
  }
}

TEST(Resume, OnlyWhatLeavesTheTrajectoryAloneMayChange) {
  for (const char* key : {"run.steps", "run.name", "log.every", "eval.batches", "checkpoint.keep", "comm.timeout"}) {
    EXPECT_TRUE(may_change_on_resume(key)) << key;
  }
  for (const char* key : {"run.seed", "run.threads", "optim.lr", "data.global_batch", "compress.codec", "exchange.every", "model.layers"}) {
    EXPECT_FALSE(may_change_on_resume(key)) << key;
  }
}

}  // namespace
}  // namespace thinwire::trainer

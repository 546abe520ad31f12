#include "trainer/batches.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "config/load.h"
#include "trainer/image_task.h"
#include "trainer/options.h"
#include "trainer/text_task.h"

namespace thinwire::trainer {
namespace {

std::unique_ptr<TextTask> counting_text(int64_t context) {
  std::vector<uint8_t> counting(1000);
  std::iota(counting.begin(), counting.end(), uint8_t{0});
  data::Corpus corpus;
  corpus.tokenizer = data::make_tokenizer("byte");
  corpus.validation = corpus.train = data::Tokens(std::move(counting));
  return std::make_unique<TextTask>(std::move(corpus), 256, context, 1);
}

// Image i of n is of colour i, its label i mod 10.
data::ImageSplit coloured(int64_t n, int64_t pixels) {
  data::ImageSplit split;
  for (int64_t i = 0; i < n; ++i) {
    split.pixels.insert(split.pixels.end(), static_cast<size_t>(pixels), static_cast<uint8_t>(i));
    split.labels.push_back(static_cast<uint8_t>(i % 10));
  }
  return split;
}

std::unique_ptr<ImageTask> coloured_images() {
  data::Images images;
  images.height = 2;
  images.width = 3;
  images.classes = 10;
  images.train = coloured(60, 6);
  images.validation = coloured(20, 6);
  images.mean = 10;
  images.deviation = 4;
  return std::make_unique<ImageTask>(std::move(images), 1);
}

TEST(Batches, TargetsAreTheNextTokens) {
  const data::Tokens split(std::vector<uint8_t>{10, 11, 12, 13, 14, 15});
  const Batch batch = make_windows(split, std::vector<int64_t>{0, 2}, 3);
  EXPECT_TRUE(at::equal(batch.inputs, at::tensor({10, 11, 12, 12, 13, 14}, at::kLong).view({2, 3})));
  EXPECT_TRUE(at::equal(batch.targets, at::tensor({11, 12, 13, 13, 14, 15}, at::kLong).view({2, 3})));
  EXPECT_THROW(make_windows(split, std::vector<int64_t>{3}, 3), BrokenInvariant);
}

TEST(Batches, RanksSeeWhatOneRankSeesInMicroBatches) {
  std::vector<std::unique_ptr<Task>> tasks;
  tasks.push_back(counting_text(8));
  tasks.push_back(coloured_images());
  for (const auto& task : tasks) {
    const TrainBatches alone(*task, 2, /*micro_batches=*/4, 0, 1);
    for (const int world : {2, 4}) {
      for (int rank = 0; rank < world; ++rank) {
        const TrainBatches shared(*task, 2, 4 / world, rank, world);
        for (int64_t micro = 0; micro < 4 / world; ++micro) {
          const Batch own = shared.get(7, micro), same = alone.get(7, rank * (4 / world) + micro);
          EXPECT_TRUE(at::equal(own.inputs, same.inputs) && at::equal(own.targets, same.targets)) << world << ' ' << rank;
        }
      }
    }
  }
}

TEST(Batches, TextIsSampledInTheOrderOfTheWindowSampler) {
  const auto task = counting_text(8);
  const data::WindowSampler sampler(1, 1000, 8);
  const Batch batch = TrainBatches(*task, 2, 3, 1, 2).get(5, 2);  // samples 4 * 12 + (1 * 3 + 2) * 2 and the next
  for (int64_t row = 0; row < 2; ++row) EXPECT_EQ(batch.inputs[row][0].item<int64_t>(), sampler.start(58 + row) % 256);
}

TEST(Batches, ImagesAreNormalisedAndKeepTheirLabels) {
  const auto task = coloured_images();
  const data::ItemSampler sampler(1, 60);
  const Batch batch = task->train_batch(70, 3);
  ASSERT_EQ(batch.inputs.sizes().vec(), (std::vector<int64_t>{3, 1, 2, 3}));
  for (int64_t row = 0; row < 3; ++row) {
    const int64_t item = sampler.item(70 + row);
    EXPECT_TRUE(at::equal(batch.inputs[row], at::full({1, 2, 3}, (static_cast<double>(item) - 10) / 4, at::kFloat)));
    EXPECT_EQ(batch.targets[row].item<int64_t>(), item % 10);
  }
}

TEST(Batches, AnEpochOfImagesHasEachOnce) {
  const auto task = coloured_images();
  auto colours = std::get<0>((task->train_batch(60, 60).inputs.select(3, 0).select(2, 0).view({60}) * 4 + 10).sort());
  EXPECT_TRUE(at::equal(colours, at::arange(60, at::kFloat)));
}

TEST(Batches, ValidationSpansTheSplit) {
  const auto text = counting_text(8);
  const Batch first = text->validation_batch(0, 2, 10), last = text->validation_batch(8, 2, 10);
  EXPECT_EQ(first.inputs[0][0].item<int64_t>(), 0);
  EXPECT_EQ(last.targets[1][7].item<int64_t>(), 999 % 256);  // the very last token is a target
  const auto images = coloured_images();
  const Batch all = images->validation_batch(0, 20, 20);  // as many as there are: each once
  EXPECT_TRUE(at::equal(all.targets, at::arange(20, at::kLong).remainder(10)));
}

// Scores that are all 0 but for class 3.
class AlwaysThree : public models::Model {
 public:
  const std::vector<models::Parameter>& parameters() const override { return none_; }
  at::Tensor logits(const at::Tensor& inputs) const override {
    auto scores = at::zeros({inputs.size(0), 10});
    scores.select(1, 3).fill_(2);
    return scores;
  }

 private:
  std::vector<models::Parameter> none_;
};

TEST(Scores, OfImagesAreLossAndShareOfHits) {
  const auto task = coloured_images();
  const Scores scores = task->score(AlwaysThree(), task->validation_batch(0, 20, 20));  // two of twenty are threes
  EXPECT_DOUBLE_EQ(scores.accuracy, 0.1);
  EXPECT_NEAR(scores.loss, std::log(std::exp(2.0) + 9) - 0.1 * 2, 1e-6);
  EXPECT_EQ(task->metric(scores).name, "val_accuracy");
  EXPECT_DOUBLE_EQ(task->metric(scores).value, 0.1);
}

TEST(Scores, OfTextAreBitsPerByte) {
  const auto task = counting_text(8);
  EXPECT_EQ(task->metric({std::log(256.0), 0}).name, "val_bpb");
  EXPECT_NEAR(task->metric({std::log(256.0), 0}).value, 8, 1e-12);
  EXPECT_NEAR(task->metric({std::log(256.0), 0, 4}).value, 2, 1e-12) << "tokens of four bytes";
}

TEST(Pairs, AreTextWithLlamaAndImagesWithResnet) {
  const auto load = [](const std::string& yaml) {
    Options o;
    auto root = config::describe_root(o);
    config::load(root, {{"c.yaml", yaml}}, {});
  };
  load("{model: {type: resnet}, data: {source: fashion_mnist}}");
  load("{model: {type: llama}, data: {source: gcide}}");
  for (const auto& [type, source] : {std::pair("llama", "fashion_mnist"), {"resnet", "gcide"}, {"resnet", "synthetic"}}) {
    try {
      load(fmt::format("{{model: {{type: {}}}, data: {{source: {}}}}}", type, source));
      ADD_FAILURE() << type << ' ' << source;
    } catch (const ConfigError& e) {
      const std::string what = e.what();
      EXPECT_NE(what.find(fmt::format(
                    "{} does not train on data.source {}: llama trains on gcide, text, tokens and synthetic, resnet on fashion_mnist", type,
                    source)),
                std::string::npos)
          << what;
    }
  }
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
    EXPECT_STREQ(e.what(),
                 "data.global_batch 20 is not a multiple of data.micro_batch 4 x 2 ranks = 8; the nearest that are: 16 and 24; a resume may "
                 "change data.micro_batch together with the number of ranks, but not data.global_batch");
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

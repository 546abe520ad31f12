// Classification: what an image shows.
#pragma once
#include <array>
#include <span>

#include "data/images.h"
#include "data/sampler.h"
#include "trainer/task.h"

namespace thinwire::trainer {

class ImageTask : public Task {
 public:
  ImageTask(data::Images images, uint64_t seed);

  Batch train_batch(int64_t first, int64_t count) const override;
  // When more are asked for than the split holds, some come twice.
  Batch validation_batch(int64_t first, int64_t count, int64_t total) const override;
  Scores score(const models::Model& model, const Batch& batch) const override;
  Metric metric(const Scores& mean) const override;  // val_accuracy
  std::optional<std::string> sample(const models::Model&) const override { return std::nullopt; }

 private:
  Batch make_batch(const data::ImageSplit& split, std::span<const int64_t> items) const;

  data::Images images_;
  data::ItemSampler sampler_;
  std::array<float, 256> input_of_;  // (pixel - mean) / deviation, by pixel
};

}  // namespace thinwire::trainer

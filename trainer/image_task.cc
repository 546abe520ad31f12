#include "trainer/image_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace thinwire::trainer {

namespace {
TaskFacts facts_of(const data::Images& images) {
  TaskFacts facts;
  facts.description = images.description;
  facts.hash = images.hash;
  facts.num_classes = images.classes;
  facts.input = fmt::format("images of {} x {}", images.height, images.width);
  facts.samples = facts.units = "images";
  facts.rate = "img/s";
  return facts;
}
}  // namespace

ImageTask::ImageTask(data::Images images, uint64_t seed)
    : Task(facts_of(images)), images_(std::move(images)), sampler_(seed, images_.train.size()) {
  for (size_t pixel = 0; pixel < input_of_.size(); ++pixel) {
    input_of_[pixel] = static_cast<float>((static_cast<double>(pixel) - images_.mean) / images_.deviation);
  }
}

Batch ImageTask::train_batch(int64_t first, int64_t count) const {
  std::vector<int64_t> items;
  for (int64_t i = first; i < first + count; ++i) items.push_back(sampler_.item(i));
  return make_batch(images_.train, items);
}

Batch ImageTask::validation_batch(int64_t first, int64_t count, int64_t total) const {
  std::vector<int64_t> items;
  for (int64_t i = first; i < first + count; ++i) items.push_back(spread(images_.validation.size() - 1, i, total));
  return make_batch(images_.validation, items);
}

Scores ImageTask::score(const models::Model& model, const Batch& batch) const {
  const auto scores = model.logits(batch.inputs);
  const auto hits = scores.argmax(1).cpu().eq(batch.targets).sum().item<int64_t>();
  return {models::cross_entropy(scores, batch.targets).item<double>(),
          static_cast<double>(hits) / static_cast<double>(batch.targets.numel())};
}

Metric ImageTask::metric(const Scores& mean) const { return {"val_accuracy", mean.accuracy}; }

Batch ImageTask::make_batch(const data::ImageSplit& split, std::span<const int64_t> items) const {
  const auto rows = static_cast<int64_t>(items.size()), pixels = images_.height * images_.width;
  Batch batch{at::empty({rows, 1, images_.height, images_.width}, at::kFloat), at::empty({rows}, at::kLong)};
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t item = items[static_cast<size_t>(row)];
    check(item >= 0 && item < split.size(), "an image of the split");
    const auto first = split.pixels.begin() + item * pixels;
    std::transform(first, first + pixels, batch.inputs.data_ptr<float>() + row * pixels, [&](uint8_t pixel) { return input_of_[pixel]; });
    batch.targets.data_ptr<int64_t>()[row] = split.labels[static_cast<size_t>(item)];
  }
  return batch;
}

}  // namespace thinwire::trainer

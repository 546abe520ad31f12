#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/idx.h"
#include "data/images.h"
#include "data/sources.h"

namespace thinwire::data {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kSide = 28, kClasses = 10;
constexpr int64_t kTrainPerValidation = 12;  // images of the train files per image of the validation split

fs::path existing(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error)) return path;
  throw DataError(
      fmt::format("data.source fashion_mnist: '{}' does not exist: `apt-get install dataset-fashion-mnist` brings it to {}; or set "
                  "data.fashion_mnist_path to the directory that holds it",
                  path.string(), kFashionMnistPath));
}

ImageSplit read_split(const fs::path& directory, const std::string& name) {
  const fs::path images_path = existing(directory / (name + "-images-idx3-ubyte.gz"));
  const fs::path labels_path = existing(directory / (name + "-labels-idx1-ubyte.gz"));
  IdxBytes images = read_idx(images_path, 3), labels = read_idx(labels_path, 1);
  if (images.sizes[1] != kSide || images.sizes[2] != kSide) {
    throw DataError(fmt::format("'{}' holds images of {} x {} pixels, and those of Fashion-MNIST have {} x {}: get it again",
                                images_path.string(), images.sizes[1], images.sizes[2], kSide, kSide));
  }
  if (images.sizes[0] != labels.sizes[0]) {
    throw DataError(fmt::format("'{}' holds {} images, but '{}' {} labels: get both again", images_path.string(),
                                with_thousands(images.sizes[0]), labels_path.string(), with_thousands(labels.sizes[0])));
  }
  const auto wrong = std::find_if(labels.values.begin(), labels.values.end(), [](uint8_t label) { return label >= kClasses; });
  if (wrong != labels.values.end()) {
    throw DataError(fmt::format("'{}': label {} of image {} is not below {}: get it again", labels_path.string(), *wrong,
                                wrong - labels.values.begin(), kClasses));
  }
  return {std::move(images.values), std::move(labels.values)};
}

// Moves the last `count` images into a split of their own.
ImageSplit split_off(ImageSplit& from, int64_t count) {
  const int64_t keep = from.size() - count;
  ImageSplit tail{{from.pixels.begin() + keep * kSide * kSide, from.pixels.end()}, {from.labels.begin() + keep, from.labels.end()}};
  from.pixels.resize(static_cast<size_t>(keep * kSide * kSide));
  from.labels.resize(static_cast<size_t>(keep));
  return tail;
}

// In integers up to the last division, so that every machine gets the same bits.
void measure(Images& images) {
  uint64_t sum = 0, squares = 0;
  for (const uint64_t pixel : images.train.pixels) {
    sum += pixel;
    squares += pixel * pixel;
  }
  const auto n = static_cast<double>(images.train.pixels.size());
  images.mean = static_cast<double>(sum) / n;
  const double variance = static_cast<double>(squares) / n - images.mean * images.mean;
  images.deviation = variance > 0 ? std::sqrt(variance) : 1;  // pictures of one colour
}

uint64_t hash_of(const Images& images) {
  StreamingHash hash;
  for (const auto* split : {&images.train, &images.validation, &images.test}) {
    hash.update(bytes_of(std::span(split->pixels)));
    hash.update(bytes_of(std::span(split->labels)));
  }
  return hash.digest();
}

}  // namespace

Images load_images(const DataOptions& options) {
  const fs::path directory = options.fashion_mnist_path.empty() ? kFashionMnistPath : options.fashion_mnist_path;
  Images images;
  images.height = images.width = kSide;
  images.classes = kClasses;
  images.train = read_split(directory, "train");
  images.test = read_split(directory, "t10k");
  if (images.train.size() < kTrainPerValidation) {
    throw DataError(fmt::format("'{}' holds {} images to train on, and a validation split takes {} at least: give more", directory.string(),
                                images.train.size(), kTrainPerValidation));
  }
  images.validation = split_off(images.train, images.train.size() / kTrainPerValidation);
  measure(images);
  images.hash = hash_of(images);
  images.description =
      fmt::format("Fashion-MNIST from '{}': {} images to train on, {} to test, {} to validate", directory.string(),
                  with_thousands(images.train.size()), with_thousands(images.test.size()), with_thousands(images.validation.size()));
  return images;
}

}  // namespace thinwire::data

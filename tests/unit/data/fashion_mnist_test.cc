#include <algorithm>
#include <cmath>
#include <set>

#include "base/hash.h"
#include "data/images.h"
#include "data_files.h"

namespace thinwire::data {
namespace {

constexpr size_t kPixels = 28 * 28;

// Sets of a few images in the four files of Fashion-MNIST.
class FashionMnist : public DataFiles {
 protected:
  static std::string size_of(size_t value) { return {0, 0, static_cast<char>(value >> 8), static_cast<char>(value & 255)}; }

  void pack_images(const std::string& name, size_t count, const std::string& pixels, size_t side = 28) const {
    std::filesystem::remove(path(name + "-images-idx3-ubyte.gz"));
    pack(name + "-images-idx3-ubyte.gz", std::string("\0\0\x08\x03", 4) + size_of(count) + size_of(side) + size_of(side) + pixels);
  }
  void pack_labels(const std::string& name, const std::string& labels) const {
    std::filesystem::remove(path(name + "-labels-idx1-ubyte.gz"));
    pack(name + "-labels-idx1-ubyte.gz", std::string("\0\0\x08\x01", 4) + size_of(labels.size()) + labels);
  }
  // Image i is of colour i, its label i mod 10.
  void pack_split(const std::string& name, size_t count) const {
    std::string pixels, labels;
    for (size_t i = 0; i < count; ++i) {
      pixels += std::string(kPixels, static_cast<char>(i));
      labels += static_cast<char>(i % 10);
    }
    pack_images(name, count, pixels);
    pack_labels(name, labels);
  }
  void SetUp() override {
    DataFiles::SetUp();
    pack_split("train", 25);
    pack_split("t10k", 3);
    options.source = "fashion_mnist";
    options.fashion_mnist_path = path("");
  }
  DataOptions options;
};

TEST_F(FashionMnist, TheLastTwelfthOfTheTrainingImagesValidates) {
  const Images images = load_images(options);
  EXPECT_EQ(images.train.size(), 23);  // 25 / 12 is 2
  EXPECT_EQ(images.validation.size(), 2);
  EXPECT_EQ(images.test.size(), 3);
  EXPECT_EQ(images.train.pixels.size(), 23 * kPixels);
  EXPECT_EQ(images.train.pixels.back(), 22);
  EXPECT_EQ(images.validation.pixels.front(), 23);
  EXPECT_EQ(images.validation.labels, (std::vector<uint8_t>{3, 4}));
  EXPECT_EQ(images.test.labels, (std::vector<uint8_t>{0, 1, 2}));
  EXPECT_NE(images.description.find("23 images to train on, 3 to test, 2 to validate"), std::string::npos) << images.description;
}

TEST_F(FashionMnist, MeanAndDeviationAreThoseOfTheTrainSplit) {
  const Images images = load_images(options);
  EXPECT_DOUBLE_EQ(images.mean, 11);                                      // of 0 ... 22
  EXPECT_NEAR(images.deviation, std::sqrt((23 * 23 - 1) / 12.0), 1e-12);  // of n numbers in a row: (n^2 - 1) / 12
}

TEST_F(FashionMnist, PicturesOfOneColourAreNotDividedByNothing) {
  pack_images("train", 12, std::string(12 * kPixels, 'x'));
  pack_labels("train", std::string(12, '\1'));
  EXPECT_EQ(load_images(options).deviation, 1);
}

TEST_F(FashionMnist, TheHashKnowsEveryPixelLabelAndSplit) {
  std::set<uint64_t> hashes = {load_images(options).hash, load_images(options).hash};
  EXPECT_EQ(hashes.size(), 1u);
  pack_labels("t10k", std::string("\0\1\3", 3));
  hashes.insert(load_images(options).hash);
  pack_images("t10k", 3, std::string(3 * kPixels - 1, '\2') + '\3');
  hashes.insert(load_images(options).hash);
  EXPECT_EQ(hashes.size(), 3u);
}

TEST_F(FashionMnist, AMissingFileNamesThePackageAndTheKey) {
  std::filesystem::remove(path("t10k-labels-idx1-ubyte.gz"));
  expect_data_error([&] { load_images(options); }, {path("t10k-labels-idx1-ubyte.gz"), "does not exist",
                                                    "apt-get install dataset-fashion-mnist", "data.fashion_mnist_path"});
}

TEST_F(FashionMnist, ALabelThatIsNoClassIsRefused) {
  pack_labels("t10k", std::string("\0\1\012", 3));
  expect_data_error([&] { load_images(options); }, {path("t10k-labels-idx1-ubyte.gz"), "label 10 of image 2", "below 10"});
}

TEST_F(FashionMnist, MoreImagesThanLabelsAreRefused) {
  pack_labels("train", std::string(24, '\1'));
  expect_data_error([&] { load_images(options); }, {"25 images", "24 labels", path("train-labels-idx1-ubyte.gz")});
}

TEST_F(FashionMnist, ImagesOfAnotherSizeAreRefused) {
  pack_images("t10k", 3, std::string(3 * 32 * 32, 'x'), 32);
  expect_data_error([&] { load_images(options); }, {path("t10k-images-idx3-ubyte.gz"), "32 x 32", "28 x 28"});
}

TEST_F(FashionMnist, TooFewImagesForAValidationSplitAreRefused) {
  pack_split("train", 11);
  expect_data_error([&] { load_images(options); }, {"11 images", "12 at least"});
}

// Sizes and balance as the data set's page states them; mean and deviation over the 60,000 are widely published as 0.2860 and 0.3530 of
// 255.
TEST_F(FashionMnist, ThePackagedSetIsTheOneThatWasPublished) {
  options.fashion_mnist_path = "";
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    GTEST_SKIP() << "the Debian package dataset-fashion-mnist is not installed";
  }
  const Images images = load_images(options);
  EXPECT_EQ(images.train.size(), 55'000);
  EXPECT_EQ(images.validation.size(), 5'000);
  EXPECT_EQ(images.test.size(), 10'000);
  EXPECT_NEAR(images.mean / 255, 0.2860, 0.001);  // without the last 5,000
  EXPECT_NEAR(images.deviation / 255, 0.3530, 0.001);
  for (uint8_t label = 0; label < 10; ++label) {
    const auto in = [&](const ImageSplit& split) { return std::count(split.labels.begin(), split.labels.end(), label); };
    EXPECT_EQ(in(images.test), 1'000);
    EXPECT_EQ(in(images.train) + in(images.validation), 6'000);
  }
}

}  // namespace
}  // namespace thinwire::data

// Images with labels, in memory: what a classifier trains on.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/options.h"

namespace thinwire::data {

// Grey images of one size, one after another, and the label of each.
struct ImageSplit {
  std::vector<uint8_t> pixels;  // (n, height, width)
  std::vector<uint8_t> labels;  // (n), each below Images::classes
  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

struct Images {
  std::string description;  // one line for the log
  int64_t height = 0, width = 0, classes = 0;
  ImageSplit train, validation, test;
  double mean = 0, deviation = 1;  // of the pixels of the train split: models are given (pixel - mean) / deviation
  uint64_t hash = 0;               // of all pixels and labels: a resume on other data is refused
};

// Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747): 28 x 28 pixels, ten kinds of clothing, in the four files of the Debian
// package dataset-fashion-mnist. Of its 60,000 training images the last twelfth, 5,000, is the validation split; its 10,000 test images are
// the test split. Other sets in the same files work too, with any number of images from 12 on.
//
// DataError with path, reason and fix when files are missing, unreadable or damaged, when images are of another size or as many as there
// are no labels for, or when a label is not below ten. The same files give the same Images on every machine.
Images load_images(const DataOptions& options);

}  // namespace thinwire::data

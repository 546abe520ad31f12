// What a training pass takes, from shapes alone: before there is a model. On the host; figures are of one micro-batch.
#pragma once
#include <cstdint>
#include <memory>

#include "models/model.h"

namespace thinwire::models {

// A model of which there are names, shapes and nothing else: parameters on LibTorch's meta device, which take no memory. Not to be run.
std::unique_ptr<Model> make_outline(const ModelOptions& options, int64_t num_classes);

struct PassShape {
  int64_t samples = 1;        // of a micro-batch
  int64_t num_classes = 256;  // values that a target can have
  int64_t side = 28;          // resnet: of an image
  bool in_bf16 = false;       // run.precision bf16: products in bf16, the rest in fp32
};

// Bytes. What autograd saves is counted as models/llama.cc and models/resnet.cc have it saved, layer by layer; a test holds the count
// against the tensors of a real pass.
struct PassFootprint {
  double kept = 0;    // for backward
  double scores = 0;  // of all targets, and their gradient
  double work = 0;    // beside those, at the moment when that is most: the gradient of a weight, and of a layer
};
PassFootprint pass_footprint(const ModelOptions& options, const PassShape& shape);

// Multiplications and additions of products and convolutions, forward and backward.
double pass_flops(const ModelOptions& options, const PassShape& shape);

}  // namespace thinwire::models

// What attention needs of the tokens that a sequence has had so far, so that one more costs the work of one.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thinwire::models {

// Of one sequence. Empty at first; Model::next_logits() fills it.
struct KvCache {
  struct Layer {
    at::Tensor keys, values;  // (1, context, K, d), keys turned by their positions; valid up to `length`
  };
  std::vector<Layer> layers;
  int64_t length = 0;  // tokens that are in it
};

}  // namespace thinwire::models

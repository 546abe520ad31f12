// Matrix products and convolutions in bf16, everything else in fp32: LibTorch's autocast on the CPU.
#pragma once
#include <ATen/core/ScalarType.h>

#include <memory>

#include "models/model.h"

namespace thinwire::models {

// Of this thread, while it lives. Weights are converted anew at each use: LibTorch's cache of them is shared by all threads, and ranks may
// be threads of one process.
class Autocast {
 public:
  Autocast();
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool was_enabled_, had_cache_;
  at::ScalarType dtype_before_;
};

// The same model, with its forward pass under Autocast. Parameters, their gradients, logits and loss stay fp32.
std::unique_ptr<Model> in_bf16(std::unique_ptr<Model> model);

}  // namespace thinwire::models

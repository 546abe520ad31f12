// Matrix products and convolutions in bf16, most else in fp32: LibTorch's autocast.
#pragma once
#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <memory>

#include "models/model.h"

namespace thinwire::models {

// Of this thread, while it lives. Weights are converted anew at each use: LibTorch's cache of them is shared by all threads, and ranks may
// be threads of one process.
class Autocast {
 public:
  explicit Autocast(c10::DeviceType device = c10::DeviceType::CPU);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool was_enabled_, had_cache_;
  at::ScalarType dtype_before_;
};

// The same model, with its forward pass under Autocast. Parameters, their gradients, logits and loss stay fp32.
std::unique_ptr<Model> in_bf16(std::unique_ptr<Model> model);

}  // namespace thinwire::models

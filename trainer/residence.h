// Where a run's parameters, gradients and all that the exchange keeps beside them live, when that is a LibTorch device.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "exchange/feedback/feedback.h"
#include "exchange/residence.h"

namespace thinwire::trainer {

// With our CUDA module, exchange::DeviceResidence: codecs work where the numbers are. Without it, for a build without nvcc or a device of
// another kind, a residence of LibTorch's operations: numbers cross to the host for their rounds.
std::unique_ptr<exchange::Residence> make_residence(const c10::Device& device);
std::unique_ptr<exchange::Residence> make_torch_residence(const c10::Device& device);  // always the second

// Host memory for tensors and pieces of state, wherever they live: their own on the host, else copies, which live as long as this does.
class HostMemory {
 public:
  std::span<std::byte> of(const at::Tensor& tensor);
  std::span<std::byte> of(const exchange::StatePiece& piece);
  void store();  // what was written into the copies goes to where they came from

 private:
  struct Copy {
    exchange::StatePiece piece;
    std::vector<std::byte> bytes;
  };
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;  // tensor, copy
  std::vector<Copy> pieces_;
};

}  // namespace thinwire::trainer

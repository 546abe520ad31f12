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

}  // namespace thinwire::trainer

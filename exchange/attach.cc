#include "exchange/attach.h"

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace thinwire::exchange {

namespace {
class ReadyHook : public torch::autograd::PostAccumulateGradHook {
 public:
  ReadyHook(Schedule& schedule, const bool& armed, Slot slot) : schedule_(schedule), armed_(armed), slot_(slot) {}
  void operator()(const torch::autograd::Variable&) override {
    if (armed_) schedule_.gradient_ready(slot_);
  }

 private:
  Schedule& schedule_;
  const bool& armed_;
  Slot slot_;
};
}  // namespace

void point_gradients(const std::vector<at::Tensor>& parameters, Schedule& schedule) {
  check(parameters.size() == schedule.exchange().table().slots().size(), "there is one parameter per slot");
  for (Slot slot = 0; slot < parameters.size(); ++slot) {
    const at::Tensor& parameter = parameters[slot];
    check(parameter.is_contiguous() && parameter.scalar_type() == at::kFloat && parameter.is_leaf(),
          "parameters are contiguous fp32 leaves");
    const auto place = schedule.gradient(slot);
    check(place.size() == static_cast<size_t>(parameter.numel()), "the slot has the parameter's size");
    parameter.mutable_grad() = tensor_over(place, parameter.device()).view(parameter.sizes());
  }
}

void hook_gradients(const std::vector<at::Tensor>& parameters, Schedule& schedule, const bool& armed) {
  for (Slot slot = 0; slot < parameters.size(); ++slot) {
    const at::Tensor& parameter = parameters[slot];
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, std::make_unique<ReadyHook>(schedule, armed, slot));
  }
}

at::Tensor tensor_over(std::span<const float> numbers, const at::Device& device) {
  return at::from_blob(const_cast<float*>(numbers.data()), {static_cast<int64_t>(numbers.size())},
                       at::TensorOptions(at::kFloat).device(device));
}

RowsCols rows_cols(const at::Tensor& parameter) {
  if (parameter.dim() < 2) return {1, parameter.numel()};
  return {parameter.size(0), parameter.numel() / parameter.size(0)};
}

}  // namespace thinwire::exchange

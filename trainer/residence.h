// A rank's parameters and gradients on a LibTorch device, for the exchange, which works in host memory.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <optional>
#include <span>
#include <vector>

#include "exchange/residence.h"

namespace thinwire::trainer {

class DeviceResidence final : public exchange::Residence {
 public:
  // Parameters are contiguous fp32 leaves on one device, one for each slot.
  DeviceResidence(std::vector<at::Tensor> parameters, const exchange::SlotTable& table);

  // Makes each parameter's `.grad` a view of gradients(), at the table's offset: at first, and after each new table, which must outlive its
  // use. Gradients are zero afterwards.
  void lay_out(const exchange::SlotTable& table);
  const at::Tensor& gradients() const { return gradients_; }  // flat, fp32

  std::vector<std::span<float>> copies();  // of the parameters, in host memory

  void zero_gradients() override;
  void scale_gradients(float factor) override;
  void gradient_ready(exchange::Slot slot) override;
  void fetch_gradients(size_t begin, std::span<float> to) override;
  void store_gradients(size_t begin, std::span<const float> from) override;
  void fetch_parameters(exchange::Slot slot) override;
  void store_parameters(exchange::Slot slot) override;

 private:
  std::vector<at::Tensor> parameters_, copies_;
  const exchange::SlotTable* table_ = nullptr;
  at::Tensor gradients_;
  std::vector<std::optional<c10::Event>> computed_;  // by bucket: all of its gradients
};

}  // namespace thinwire::trainer

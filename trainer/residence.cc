#include "trainer/residence.h"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "base/check.h"

namespace thinwire::trainer {

namespace {

at::Tensor host_view(const float* data, size_t elems) {
  return at::from_blob(const_cast<float*>(data), {static_cast<int64_t>(elems)}, at::kFloat);
}

// Copies, and waits for that alone: what the device computes meanwhile for others goes on, on the streams that it is on.
void copy_beside(const at::Tensor& to, const at::Tensor& from, const c10::Device& device) {
  if (device.is_cpu()) {
    to.copy_(from);
    return;
  }
  const c10::impl::VirtualGuardImpl guard(device.type());
  const c10::StreamGuard beside(guard.getStreamFromGlobalPool(device));
  to.copy_(from);
}

}  // namespace

DeviceResidence::DeviceResidence(std::vector<at::Tensor> parameters, const exchange::SlotTable& table)
    : parameters_(std::move(parameters)) {
  check(parameters_.size() == table.slots().size(), "there is one parameter per slot");
  for (const auto& parameter : parameters_) {
    check(parameter.is_contiguous() && parameter.scalar_type() == at::kFloat && parameter.is_leaf(),
          "parameters are contiguous fp32 leaves");
    copies_.push_back(at::empty(parameter.sizes(), at::kFloat));
  }
  lay_out(table);
}

void DeviceResidence::lay_out(const exchange::SlotTable& table) {
  table_ = &table;
  computed_.clear();
  computed_.resize(table.buckets().size());
  gradients_ = at::zeros({static_cast<int64_t>(table.total_elems())}, parameters_[0].options().requires_grad(false));
  for (exchange::Slot slot = 0; slot < parameters_.size(); ++slot) {
    const auto offset = static_cast<int64_t>(table.offset(slot));
    parameters_[slot].mutable_grad() = gradients_.narrow(0, offset, parameters_[slot].numel()).view(parameters_[slot].sizes());
  }
}

std::vector<std::span<float>> DeviceResidence::copies() {
  std::vector<std::span<float>> spans;
  for (const auto& copy : copies_) spans.emplace_back(copy.data_ptr<float>(), static_cast<size_t>(copy.numel()));
  return spans;
}

void DeviceResidence::zero_gradients() { gradients_.zero_(); }
void DeviceResidence::scale_gradients(float factor) { gradients_.mul_(factor); }

void DeviceResidence::gradient_ready(exchange::Slot slot) {
  const auto device = gradients_.device();
  if (device.is_cpu()) return;
  auto& event = computed_[table_->bucket_of(slot)];
  if (!event) event.emplace(device.type());
  event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

void DeviceResidence::fetch_gradients(size_t begin, std::span<float> to) {
  const auto& buckets = table_->buckets();
  for (size_t b = 0; b < buckets.size(); ++b) {
    const bool overlaps = buckets[b].begin < begin + to.size() && begin < buckets[b].begin + buckets[b].elems;
    if (overlaps && computed_[b]) computed_[b]->synchronize();
  }
  copy_beside(host_view(to.data(), to.size()), gradients_.narrow(0, static_cast<int64_t>(begin), static_cast<int64_t>(to.size())),
              gradients_.device());
}

void DeviceResidence::store_gradients(size_t begin, std::span<const float> from) {
  copy_beside(gradients_.narrow(0, static_cast<int64_t>(begin), static_cast<int64_t>(from.size())), host_view(from.data(), from.size()),
              gradients_.device());
}

void DeviceResidence::fetch_parameters(exchange::Slot slot) { copies_[slot].copy_(parameters_[slot].detach()); }
void DeviceResidence::store_parameters(exchange::Slot slot) { parameters_[slot].detach().copy_(copies_[slot]); }

}  // namespace thinwire::trainer

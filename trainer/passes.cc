#include "trainer/passes.h"

#include <ATen/ATen.h>

#include "base/log.h"

namespace thinwire::trainer {

namespace {
// Libraries set themselves up, and kernels are loaded, when they are first used: neither may happen while a graph is recorded.
constexpr int kPassesBefore = 3;
}  // namespace

Passes::Passes(const models::Model& model, bool as_graph) : model_(model), passes_left_(kPassesBefore) {
  if (as_graph) graph_ = models::make_graph();
}

at::Tensor Passes::run(const Batch& batch) {
  if (graph_ == nullptr) return run_now(batch);
  if (passes_left_ > 0) {
    --passes_left_;
    return run_now(batch);
  }
  if (places_ != places_of_gradients()) record(batch);
  if (graph_ == nullptr) return run_now(batch);  // it could not be recorded
  fixed_.inputs.copy_(batch.inputs);
  fixed_.targets.copy_(batch.targets);
  graph_->replay();
  return loss_.clone();
}

at::Tensor Passes::run_now(const Batch& batch) {
  const at::Tensor loss = model_.loss(batch.inputs, batch.targets);
  loss.backward();
  return loss.detach();
}

void Passes::record(const Batch& batch) {
  const auto device = model_.parameters().front().value.device();
  fixed_ = {batch.inputs.to(device), batch.targets.to(device)};
  places_ = places_of_gradients();
  try {
    graph_->record([this] { loss_ = run_now(fixed_); });
  } catch (const std::exception& e) {
    log::warn("forward and backward could not be recorded as a CUDA graph, training goes on without: {}", e.what());
    graph_.reset();
  }
}

std::vector<const void*> Passes::places_of_gradients() const {
  std::vector<const void*> places;
  for (const auto& parameter : model_.parameters()) places.push_back(parameter.value.grad().data_ptr());
  return places;
}

}  // namespace thinwire::trainer

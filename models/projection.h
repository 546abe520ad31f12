// The one way in which a model multiplies by a weight matrix, so that quantisation-aware training and low-rank gradients can change how.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>

#include <memory>

namespace thinwire::models {

// Replaces y = x W^T. Must be differentiable in x and weight.
class ProjectionOp {
 public:
  virtual ~ProjectionOp() = default;
  virtual at::Tensor apply(const at::Tensor& x, const at::Tensor& weight) = 0;  // (..., in), (out, in) -> (..., out)
};

struct Projection {
  at::Tensor weight;                 // (out, in), no bias
  std::shared_ptr<ProjectionOp> op;  // null: plain

  at::Tensor operator()(const at::Tensor& x) const { return op ? op->apply(x, weight) : at::linear(x, weight); }
};

}  // namespace thinwire::models

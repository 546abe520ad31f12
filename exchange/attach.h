// Joins LibTorch to the exchange; the only file of this room that knows tensors.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "exchange/schedule.h"

namespace thinwire::exchange {

// Parameters are the slots, in order, and must be contiguous fp32 leaves. Schedule, exchange and `armed` must outlive their last backward.

// Makes `.grad` of each a view of its slot's place in the flat array: backward then adds into it, without a copy. Once more after
// Exchange::rebuild(), as the places are others. Parameters live in the exchange's residence.
void point_gradients(const std::vector<at::Tensor>& parameters, Schedule& schedule);

// Calls schedule.gradient_ready(slot) as soon as backward has finished a parameter's gradient, while `armed` is true.
void hook_gradients(const std::vector<at::Tensor>& parameters, Schedule& schedule, const bool& armed);

// A tensor (elems) of numbers that live on a device, and stay somebody else's.
at::Tensor tensor_over(std::span<const float> numbers, const at::Device& device);

// For plan_slots: a matrix as it is, a vector as one row, more dimensions flattened to (first, rest).
struct RowsCols {
  int64_t rows, cols;
};
RowsCols rows_cols(const at::Tensor& parameter);

}  // namespace thinwire::exchange

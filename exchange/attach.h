// Joins LibTorch to the exchange; the only file of this room that knows tensors.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "exchange/schedule.h"

namespace thinwire::exchange {

// Makes `.grad` of each parameter a view of its slot's place in the flat array (backward then adds into it, without a copy), and calls
// schedule.gradient_ready(slot) as soon as backward has finished a parameter's gradient, while `armed` is true. Parameters are
// the slots, in order, and must be contiguous fp32 leaves. Schedule, exchange and `armed` must outlive the parameters' last backward.
void attach(const std::vector<at::Tensor>& parameters, Schedule& schedule, const bool& armed);

// The first half of attach() alone: after Exchange::rebuild() the places are others.
void point_gradients(const std::vector<at::Tensor>& parameters, Schedule& schedule);

// For plan_slots: a matrix as it is, a vector as one row, more dimensions flattened to (first, rest).
struct RowsCols {
  int64_t rows, cols;
};
RowsCols rows_cols(const at::Tensor& parameter);

}  // namespace thinwire::exchange

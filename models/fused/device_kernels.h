// The fused functions on a GPU: the part "models" of the CUDA module (base/cuda/module.h). Pointers are device memory, calls put work on a
// stream and return. Formulas are those of reference.h, computed in fp32 whatever the elements; sums are in one fixed order, so the same
// numbers give the same bits on one kind of GPU.
//
// Activations are fp32 or, where projections give bf16 (run.precision), bf16: one Element a call. The residual stream, weights and tables
// are fp32 always.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/cuda/runtime.h"

namespace thinwire::models::fused {

enum class Element : uint8_t { f32, bf16 };

struct DeviceNorm {     // rows x cols
  const float* x;       // residual stream
  const void* delta;    // Element; null: nothing is added
  const float* weight;  // cols
  float* h;             // x + delta; not written without delta
  void* y;              // Element: h / sqrt(mean(h^2) + eps) * weight
  float* scale;         // rows: 1 / sqrt(mean(h^2) + eps)
  float eps;
};

struct DeviceNormBackward {
  const void* dy;   // Element
  const float* dh;  // of the stream; null: none
  const float *h, *weight, *scale;
  float* dx;             // of x, and of delta
  void* ddelta;          // Element; null: not wanted
  float* dweight_parts;  // norm_parts(rows) x cols: their sum over the first is the gradient of weight
};

struct DeviceKernels {
  size_t (*norm_parts)(size_t rows);
  void (*norm)(Element, size_t rows, size_t cols, const DeviceNorm&, cuda::Stream);
  void (*norm_backward)(Element, size_t rows, size_t cols, const DeviceNormBackward&, cuda::Stream);
  // out = silu(gate) * up, all Element.
  void (*swiglu)(Element, size_t elems, const void* gate, const void* up, void* out, cuda::Stream);
  void (*swiglu_backward)(Element, size_t elems, const void* dout, const void* gate, const void* up, void* dgate, void* dup, cuda::Stream);
  // x, out (tokens, heads, 2 half): token i turned by the angles of row i % context of the tables (context, 2 half), back when `sign` is
  // -1.
  void (*rotate)(Element, size_t tokens, size_t heads, size_t half, size_t context, const float* cos, const float* sin, float sign,
                 const void* x, void* out, cuda::Stream);
};

}  // namespace thinwire::models::fused

// What the exchange computes on a device beside its codecs: the part "exchange" of the CUDA module (base/cuda/module.h). Pointers are
// device memory, calls put work on a stream and return. Elementwise results are those of exchange/arithmetic.h, bit for bit; sums are in
// one fixed order, so the same numbers give the same bits, though not the host's.
#pragma once
#include <cstddef>

#include "base/cuda/runtime.h"
#include "compressors/codec.h"
#include "exchange/arithmetic.h"

namespace thinwire::exchange {

class Kernels {
 public:
  virtual ~Kernels() = default;
  virtual void scale(float* x, size_t elems, float factor, cuda::Stream stream) const = 0;
  virtual void subtract(float* out, const float* a, const float* b, size_t elems, cuda::Stream stream) const = 0;
  virtual void apply_outer(float* anchor, const float* mean, float* momentum, size_t elems, OuterRule rule, cuda::Stream stream) const = 0;
  virtual void follow(float* parameter, const float* anchor, const float* departed, size_t elems, cuda::Stream stream) const = 0;

  // sums[0] = sum of (scale x)^2, sums[1] = sum of (decay residual + scale x)^2, in double: Squares of exchange/norms.h.
  virtual size_t squares_scratch_bytes() const = 0;
  virtual void squares(const compressors::In& in, size_t elems, double* sums, std::byte* scratch, cuda::Stream stream) const = 0;
  // sums[0] = sum of x^2; scratch as for squares().
  virtual void square_sum(const float* x, size_t elems, double* sums, std::byte* scratch, cuda::Stream stream) const = 0;
};

}  // namespace thinwire::exchange

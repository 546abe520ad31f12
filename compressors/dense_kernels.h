// What is done to all elements of a layer whatever the codec, vectorised (Highway, chosen at run time), bit for bit as plain C++ does it:
// a[i] = decay * residual[i] + scale * x[i], each product and the sum rounded to fp32. Encoders use the first two through guards.h.
#pragma once
#include <span>

#include "compressors/codec.h"

namespace thinwire::compressors::dense_kernels {

// Elements [begin, begin + a.size()) of the sum.
void accumulate(const In& in, size_t begin, std::span<float> a);

// Whether elements [begin, begin + count) of the sum are all finite. Nothing is stored.
bool all_finite(const In& in, size_t begin, size_t count);

// As square_sum() of lane_sum.h.
double square_sum(std::span<const float> a);

// square_sum() of what accumulate() makes of elements [begin, begin + count), without the residual and with it, in one pass.
struct SquareSums {
  double fresh = 0, whole = 0;  // of scale * x; of the sum
};
SquareSums square_sums(const In& in, size_t begin, size_t count);

}  // namespace thinwire::compressors::dense_kernels

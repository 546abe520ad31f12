// The choice of top-k, vectorised (Highway, chosen at run time): bit for bit what reference.h says.
//
// A choice is made in two steps, so that it works on a chunk in cache as on a layer that is streamed block by block: find the cut, a
// magnitude; then keep what is above it, and of what equals it the first few.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace thinwire::compressors::topk_kernels {

// Lanes of the widest vector: scratch is padded by one.
inline constexpr size_t kSlackElems = 16;

// Magnitudes are the bits of floats without their sign; they order like the floats. Kept is what is above the threshold, and the first
// `ties` of those that equal it.
struct Cut {
  uint32_t threshold = 0;
  size_t ties = 0;
};

// The cut that keeps `count` of the values; 1 <= count <= values.size() < 2^31, no NaN. For values that fit the cache: at most
// 31 passes, mostly some five. `scratch` holds values.size() + kSlackElems.
//
// The threshold is found from its top bit down: a bit is set if enough magnitudes reach the number with it. As soon as few are left in
// doubt, they are moved together and only they are counted from then on.
Cut cut_of(std::span<const float> values, size_t count, uint32_t* scratch);

// Appends the indices, first_index + position, of what the cut keeps of these values, ascending; returns how many. The cut's ties are
// used up on the way, so the blocks of a layer come in order under one Cut.
size_t keep(std::span<const float> values, uint32_t first_index, Cut& cut, uint16_t* indices);
size_t keep(std::span<const float> values, uint32_t first_index, Cut& cut, uint32_t* indices);

// Both of the above: select_largest() of reference.h, `scratch` as for cut_of().
void select_largest(std::span<const float> values, size_t count, uint32_t* scratch, uint16_t* indices);
void select_largest(std::span<const float> values, size_t count, uint32_t* scratch, uint32_t* indices);

// The magnitudes from `least` to `most`, in order; returns how many.
size_t magnitudes_between(std::span<const float> values, uint32_t least, uint32_t most, uint32_t* out);

// The largest magnitude, as a float; 0 of no values.
float largest_of(std::span<const float> values);

}  // namespace thinwire::compressors::topk_kernels

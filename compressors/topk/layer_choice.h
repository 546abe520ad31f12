// Top-k over a whole layer that fits no cache: four passes, block by block, and no memory that grows with the layer.
//
// The threshold is found digit by digit (radix select): the first pass counts the magnitudes by their top 11 bits, the next two refine
// the one bucket in which the k-th largest lies by 10 bits each, the last one gathers what is kept. The first pass also tells whether all
// of a = decay * residual + scale * x is finite, so none is spent on that alone. The second leaves a in the residual, so the others read 4
// bytes an element; without a residual they form a = scale * x again. In all 28 bytes an element are read or written.
#pragma once
#include <span>

#include "compressors/codec.h"

namespace thinwire::compressors {

size_t layer_choice_scratch_bytes();

// The indices.size() largest of the layer, as select_largest() of reference.h chooses, and their values. Afterwards in.residual, if there
// is one, holds a. As require_finite() of guards.h, NonFiniteError with nothing written when an element of a is not finite.
//
// 1 <= indices.size() == values.size() <= layer.elems() < 2^32; scratch is aligned to 64.
void choose_of_layer(Layer layer, const In& in, MutableBytes scratch, std::span<uint32_t> indices, std::span<float> values);

}  // namespace thinwire::compressors

// What top-k would drop at many densities at once: the curve from which a plan chooses densities layer by layer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace thinwire::compressors {

// For each density, the square sum of what `topk` does not keep: |a - decoded|^2 of the layer under values: fp32. Under fp16 the error is
// larger by the rounding of what is kept, at most 2^-21 of its square sum; that is left out.
//
// The layer is cut into chunks of `chunk_elems` (its own length, or more, for scope global), each of which keeps kept_of(density, length)
// elements. Each chunk's magnitudes are sorted once, so the cost barely grows with the number of densities: some 7 ns an element. Sums are
// doubles, in ascending order within a chunk.
//
// The elements are finite, densities in (0, 1] in any order, chunk_elems >= 1. `scratch` grows to twice a chunk's length.
std::vector<double> topk_squared_errors(std::span<const float> layer, size_t chunk_elems, std::span<const double> densities,
                                        std::vector<uint32_t>& scratch);

}  // namespace thinwire::compressors

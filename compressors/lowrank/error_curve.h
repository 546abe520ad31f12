// How well a layer can be had at each rank: what a planner weighs against bytes.
#pragma once
#include <span>
#include <vector>

#include "compressors/compressor.h"

namespace thinwire::compressors {

// For r = 1 .. max_rank, the squared Frobenius error |M - M_r|^2 of an approximation of rank r: nonincreasing, not below 0, and 0 from
// min(rows, cols) on. By the theorem of Eckart and Young the best is the sum of the squared singular values from r + 1 on; this is an upper
// estimate, since the directions come from subspace iteration (Halko, Martinsson, Tropp 2011, algorithm 4.4) on one basis of a few more
// than max_rank columns: three steps from a drawn start, then P^T M, whose Gram matrix has the squared singular values that were found.
//
// Deterministic: a function of shape and values, alike on all machines. Where a value is NaN or infinite, all errors are infinite. Errors
// below about 1e-6 |M|^2 drown in the rounding of fp32. Costs eight passes over M at that rank; allocates. Broken invariant: max_rank
// below 1.
std::vector<double> low_rank_squared_errors(Layer layer, std::span<const float> values, int max_rank);

}  // namespace thinwire::compressors

// Bases of a low-rank sketch: orthogonal columns of one common norm, safe for every finite input.
//
// A basis is `count` columns of `length` floats, column after column. All arithmetic is in double, where no square of an fp32 over- or
// underflows, and in one fixed order: ranks that start from the same bits end with the same bits.
#pragma once
#include <cstddef>
#include <span>

#include "base/draw.h"

namespace thinwire::compressors::lowrank {

// The norm of basis columns, a power of two at most 1 / (2 sqrt(length)): by Cauchy-Schwarz, an inner product of a column with any `length`
// finite floats, and each of its partial sums, stays below half the largest fp32.
float column_norm(size_t length);

// Replaces the columns by an orthogonal basis of the same span, each of norm column_norm(length), by Gram-Schmidt done twice (Giraud et
// al. 2005: orthogonal to working precision). A column that vanishes - it is 0, or all but 2^-20 of it lies in the span of those before -
// carries nothing but rounding: it becomes 0 or, with `replacement`, a drawn direction orthogonal to those before it.
// `work` is scratch of count * length doubles. count <= length.
void orthogonalise(std::span<float> columns, size_t length, std::span<double> work, const Draw* replacement = nullptr);

// An orthogonal basis drawn at random: entries uniform in [-1, 1), orthogonalised. Not normal ones as in the paper: those need a logarithm
// and a cosine, which may differ in the last bit between machines. Any distribution with a density spans every direction.
void draw_basis(std::span<float> columns, size_t length, std::span<double> work, const Draw& draw);

}  // namespace thinwire::compressors::lowrank

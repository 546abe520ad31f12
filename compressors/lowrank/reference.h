// The three products of a low-rank sketch, in plain C++: the oracle for kernels.cc, its fallback, and the definition of every rounding.
//
// Bases are stored column after column: p is `rank` columns of m.rows floats, q is `rank` columns of m.cols. Every product and every sum is
// rounded to fp32 on its own, in the order stated, so that all machines get the same bits.
#pragma once
#include <cstddef>

namespace thinwire::compressors::lowrank {

constexpr size_t kMostRank = 1024;

struct Matrix {
  const float* at = nullptr;  // row-major
  size_t rows = 0, cols = 0;
};

// What a product stands for: unit * p q^T, where p is scaled as well (by powers of two, so that nothing but the range changes).
struct Product {
  const float* p = nullptr;
  const float* q = nullptr;
  size_t rank = 0;  // at most kMostRank
  float p_scale = 1, scale = 1;
};

constexpr size_t kLanes = 16;
// ((l0 + l8) + (l4 + l12)) + ...: halves are added until one is left. Overwrites the lanes.
float sum_of_lanes(float* lanes);

namespace reference {

// p = m q. An inner product over c runs in 16 lanes, c modulo 16, each from front to back; then sum_of_lanes.
void times(Matrix m, const float* q, size_t rank, float* p);

// q = m^T p. An inner product over the rows runs from 0 on, front to back.
void transposed_times(Matrix m, const float* p, size_t rank, float* q);

// out[i][c] += weight * saturate(scale * sum over j of (p_scale p[j][i]) q[j][c]), j from 0 on; saturate limits to the largest finite fp32.
void add_product(const Product& product, float weight, size_t rows, size_t cols, float* out);

}  // namespace reference
}  // namespace thinwire::compressors::lowrank

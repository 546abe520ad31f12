// The products of reference.h, vectorised: the same bits on every CPU, blocked so that a matrix is read from memory once.
#pragma once
#include "compressors/lowrank/reference.h"

namespace thinwire::compressors::lowrank {

void times(Matrix m, const float* q, size_t rank, float* p);
void transposed_times(Matrix m, const float* p, size_t rank, float* q);
void add_product(const Product& product, float weight, size_t rows, size_t cols, float* out);

}  // namespace thinwire::compressors::lowrank

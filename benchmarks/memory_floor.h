// The least that a codec can cost: one pass over the dense side of the work, in loops that the compiler vectorises and that do nothing
// else.
#pragma once
#include <cstddef>

namespace thinwire::benchmarks {

void stream_encode(const float* x, float* residual, size_t elems);  // reads x, reads and writes the residual: 12 bytes an element
void stream_decode(float* out, size_t elems);                       // reads and writes out: 8 bytes an element
float stream_read(const float* x, size_t elems);                    // reads x, whole rows of 64: 4 bytes an element; its sum

}  // namespace thinwire::benchmarks

// How long a payload is to be expected, before there are any numbers: for who plans a wire or a disk.
#pragma once
#include "compressors/compressor.h"

namespace thinwire::compressors {

// Bytes of one payload of this layer, or of all rounds of a sketch. The length that all payloads have, where there is one; else that of
// normally distributed numbers, which are compressed for it: of a longer layer its first rows, about 2^18 elements, and the rest in
// proportion to worst_bytes. Real numbers differ: a sign of 0 costs more, positions that cluster cost less. Deterministic.
double expected_bytes(const Compressor& compressor, Layer layer);

}  // namespace thinwire::compressors

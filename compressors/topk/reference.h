// The choice that top-k makes, in plain C++: the oracle for faster kernels, their fallback, and the definition of what is sent.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace thinwire::compressors {

// Indices of the indices.size() elements of largest magnitude, ascending; among equal magnitudes the lower index wins. So the choice is one
// and the same on every machine. 0 and -0 are equal. No NaN; 1 <= indices.size() <= values.size() <= 65536; magnitudes is scratch of the
// size of values.
void select_largest(std::span<const float> values, std::span<uint32_t> magnitudes, std::span<uint16_t> indices);

}  // namespace thinwire::compressors

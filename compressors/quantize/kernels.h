// quantize_reference vectorised (Highway, chosen at run time), bit for bit the same: reference.h has the contracts.
#pragma once
#include "compressors/quantize/levels.h"
#include "compressors/quantize/reference.h"

namespace thinwire::compressors::quantize_kernels {

using Ends = quantize_reference::Ends;
Ends ends_of(std::span<const float> a);
void draw_bits(const Draw& draw, uint64_t first_elem, std::span<uint16_t> bits);
void quantize(const Grid& grid, std::span<const uint16_t> draws, std::span<const float> a, std::span<uint8_t> levels, float* left);
void add_values(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out);

// pack_levels() and unpack_levels() of levels.h, which do the other widths.
void pack_levels4(std::span<const uint8_t> levels, std::byte* out);
[[nodiscard]] bool unpack_levels4(const std::byte* packed, std::span<uint8_t> levels);

}  // namespace thinwire::compressors::quantize_kernels

// What quantisation does element by element, in plain C++: the oracle of the kernels, and the definition of what is sent.
#pragma once
#include <cstdint>
#include <span>

#include "base/draw.h"
#include "compressors/quantize/grid.h"

namespace thinwire::compressors::quantize_reference {

// Least and largest of some finite elements; a zero is +0. At least one element.
struct Ends {
  float min = 0, max = 0;
};
Ends ends_of(std::span<const float> a);

// 16 bits for each of the elements first_elem, first_elem + 1, ... (first_elem a multiple of 8): element i takes bits 16 (i % 8) to
// 16 (i % 8) + 15 of the 128 bits of Philox block i / 8, word 0 first and the low half of a word first.
void draw_bits(const Draw& draw, uint64_t first_elem, std::span<uint16_t> bits);

// The level of each element; with `draws` empty to nearest, else dithered by them. left[i] = left_of(a[i], value(level)), for as many
// elements, unless `left` is null.
void quantize(const Grid& grid, std::span<const uint16_t> draws, std::span<const float> a, std::span<uint8_t> levels, float* left);

// out += weight * value(level).
void add_values(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out);

}  // namespace thinwire::compressors::quantize_reference

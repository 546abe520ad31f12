// Levels of 1 to 8 bits, packed densely: level i takes bits [i * bits, (i + 1) * bits) of the stream, bit 0 being the lowest of byte 0.
// 8 levels fill `bits` bytes; the bits behind the last level are 0.
//
// Plain C++ on 64-bit words, 8 levels at a time: about one operation a level at any width.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace thinwire::compressors {

constexpr size_t packed_levels_bytes(size_t count, int bits) { return (count * static_cast<size_t>(bits) + 7) / 8; }

// Every level is below 2^bits; `out` has packed_levels_bytes().
void pack_levels(std::span<const uint8_t> levels, int bits, std::byte* out);

// `packed` has packed_levels_bytes(). False when the padding is not 0: two payloads would mean the same.
[[nodiscard]] bool unpack_levels(const std::byte* packed, int bits, std::span<uint8_t> levels);

}  // namespace thinwire::compressors

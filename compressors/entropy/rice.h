// Rice coding of positions: which `kept` of `of` places are taken, as the gaps between them. At 64 of 4096 it spends 7.5 bits a position,
// within 2 % of the entropy log2(binom(4096, 64)) / 64 = 7.36, where a fixed width spends 12.
//
// Position i stands for the gap g = position[i] - position[i - 1] - 1 (position[-1] = -1). With the parameter r, g is written as g >> r
// zero bits, a one, and the low r bits of g, lowest first (R. F. Rice, "Some practical universal noiseless coding techniques", JPL 1979).
// Given r, count and of, every choice of positions has exactly one code.
//
// Two levels: in bytes of its own (the last one padded with 0), or in a stream of bits that several runs share. Pure functions. All sizes
// are below 2^32, parameters at most kMostParameter.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "compressors/entropy/bits.h"

namespace thinwire::compressors::rice {

inline constexpr unsigned kMostParameter = 31;

// The best parameter when every place is taken with probability p = kept / of: the smallest r with (1 - p)^(2^r) <= (sqrt(5) - 1) / 2.
//
// Why: gaps are then geometric and a position costs r + 1 / (1 - t) bits on average, t = (1 - p)^(2^r). Raising r by one squares t; it
// saves nothing once t + t^2 <= 1. Computed by squaring, in doubles, so it is the same on every machine. 0 where nothing is kept.
unsigned parameter_for(size_t kept, size_t of);

// No run of `count` positions below `of` is longer, and one is as long: count * (r + 1) bits, and (of - count) >> r zeros in all.
uint64_t worst_bits(size_t count, size_t of, unsigned parameter);
size_t worst_bytes(size_t count, size_t of, unsigned parameter);

// In bytes. encode() writes and returns at most worst_bytes. decode() fills `ascending` with strictly ascending positions below `of` and
// says how many bytes it used; false means that the bytes are corrupt: they end too soon, a position is not below `of`, or padding is not
// 0.
size_t encode(std::span<const uint16_t> ascending, unsigned parameter, std::byte* out);
size_t encode(std::span<const uint32_t> ascending, unsigned parameter, std::byte* out);
[[nodiscard]] bool decode(ConstBytes coded, unsigned parameter, size_t of, std::span<uint16_t> ascending, size_t& used_bytes);
[[nodiscard]] bool decode(ConstBytes coded, unsigned parameter, size_t of, std::span<uint32_t> ascending, size_t& used_bytes);

// In a shared stream: no padding and no length, as the counts are known to both sides. The 16-bit forms are for of <= 65536.
void encode(std::span<const uint16_t> ascending, unsigned parameter, BitWriter& out);
void encode(std::span<const uint32_t> ascending, unsigned parameter, BitWriter& out);
[[nodiscard]] bool decode(BitReader& in, unsigned parameter, size_t of, std::span<uint16_t> ascending);
[[nodiscard]] bool decode(BitReader& in, unsigned parameter, size_t of, std::span<uint32_t> ascending);

}  // namespace thinwire::compressors::rice

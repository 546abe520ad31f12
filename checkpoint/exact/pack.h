// Bytes of which only some neighbouring bits differ, reduced to those bits: where mantissas end and a constant sign or exponent begins.
#pragma once
#include <bit>
#include <optional>

#include "base/bytes.h"

namespace thinwire::checkpoint::exact {

// Bits low, ..., low + width - 1 of each byte differ; the others are those of `constant`, in which the differing bits are 0.
struct Packing {
  uint8_t constant = 0, low = 0, width = 0;

  // Strictly what find_packing() can give: 1 <= width <= 7, and bits in their places.
  bool valid() const { return width >= 1 && width <= 7 && low + width <= 8 && (constant & mask() << low) == 0; }
  unsigned mask() const { return (1u << width) - 1; }
};

// Nothing where no bit differs, or the first and the last.
inline std::optional<Packing> find_packing(ConstBytes bytes) {
  uint8_t ones = 0xff, any = 0;
  for (const std::byte byte : bytes) {
    ones &= static_cast<uint8_t>(byte);
    any |= static_cast<uint8_t>(byte);
  }
  const auto differing = static_cast<uint8_t>(any & ~ones);
  if (bytes.empty() || differing == 0) return std::nullopt;
  const auto low = static_cast<uint8_t>(std::countr_zero(differing)), width = static_cast<uint8_t>(std::bit_width(differing) - low);
  if (width == 8) return std::nullopt;
  const Packing packing{0, low, width};
  return Packing{static_cast<uint8_t>(ones & ~(packing.mask() << low)), low, width};
}

inline size_t packed_bytes(size_t elems, unsigned width) { return (elems + 7) / 8 * width; }

namespace packing_steps {
// The first `bits` bits of each `unit` bits.
constexpr uint64_t first_of(unsigned unit, unsigned bits) {
  uint64_t mask = 0;
  for (unsigned at = 0; at < 64; at += unit) mask |= ((uint64_t{1} << bits) - 1) << at;
  return mask;
}

// Each two neighbours of `unit` bits, of which the first `bits` count, come to lie side by side; and apart again.
struct Join {
  constexpr Join(unsigned unit, unsigned bits)
      : shift(unit - bits), first(first_of(2 * unit, bits)), joined(first << bits), second(first << unit) {}
  uint64_t join(uint64_t word) const { return (word & first) | (word >> shift & joined); }
  uint64_t part(uint64_t word) const { return (word & first) | (word << shift & second); }
  unsigned shift;
  uint64_t first, joined, second;
};
}  // namespace packing_steps

// Eight bytes become `width` bytes: field i of the little-endian result is byte i's. What is left of the last eight counts as constant.
// out has packed_bytes(bytes.size(), width) + 8 bytes: the last ones are written as a whole word.
inline void pack(ConstBytes bytes, Packing packing, std::byte* out) {
  const unsigned width = packing.width;
  const uint64_t used = (uint64_t{1} << 8 * width) - 1;
  const packing_steps::Join bytes_to_pairs(8, width), pairs_to_fours(16, 2 * width), fours_to_eight(32, 4 * width);
  const auto put = [&](uint64_t word) {
    word = pairs_to_fours.join(bytes_to_pairs.join(word >> packing.low));
    store_le(out, fours_to_eight.join(word) & used);
    out += width;
  };
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) put(load_le<uint64_t>(bytes.data() + i));
  if (i == bytes.size()) return;
  uint64_t rest = 0;
  std::memcpy(&rest, bytes.data() + i, bytes.size() - i);
  put(rest);
}

// `packed` has packed_bytes(bytes.size(), width) bytes.
inline void unpack(ConstBytes packed, Packing packing, MutableBytes bytes) {
  const unsigned width = packing.width;
  const uint64_t used = (uint64_t{1} << 8 * width) - 1, constants = packing.constant * UINT64_C(0x0101010101010101);
  const packing_steps::Join bytes_to_pairs(8, width), pairs_to_fours(16, 2 * width), fours_to_eight(32, 4 * width);
  const auto spread = [&](uint64_t word) {
    word = pairs_to_fours.part(fours_to_eight.part(word & used));
    return bytes_to_pairs.part(word) << packing.low | constants;
  };
  const std::byte* from = packed.data();
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8, from += width) {
    const auto left = static_cast<size_t>(packed.data() + packed.size() - from);
    uint64_t word = 0;
    if (left >= sizeof word) {
      word = load_le<uint64_t>(from);
    } else {
      std::memcpy(&word, from, width);
    }
    store_le(bytes.data() + i, spread(word));
  }
  if (i == bytes.size()) return;
  uint64_t word = 0;
  std::memcpy(&word, from, width);
  word = spread(word);
  std::memcpy(bytes.data() + i, &word, bytes.size() - i);
}

}  // namespace thinwire::checkpoint::exact

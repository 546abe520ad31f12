// Numbers in few bits: a level of each, and a scale for each block of 256 (docs/formats/checkpoint.md, "Near-exact coding").
//
//   values  x' = level * scale, level rounded to nearest, scale = largest |x| of the block / q, q = 127 or 7:
//             |x' - x| <= scale / 2
//   roots   x' = (level * scale)^2, level rounded up, scale = largest sqrt(x) / q, q = 255 or 15, for x >= 0:
//             0 <= sqrt(x') - sqrt(x) <= scale
//
// A second moment must not come back too small: a step divides by its root, and where it came back as zero the step would be without
// bounds. So roots are rounded up, x' >= x always, and x' is zero only where x is.
//
// Decoding is one product in double and one rounding to fp32: the same bits everywhere. Any thread.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace thinwire::checkpoint::near {

inline constexpr size_t kBlock = 256;

struct Form {
  enum class Of : uint8_t { values = 0, roots = 1 };  // persisted
  Of of = Of::values;
  int bits = 8;  // 8 | 4
  bool operator==(const Form&) const = default;
  int q() const { return of == Of::values ? (1 << (bits - 1)) - 1 : (1 << bits) - 1; }
  // The most that a value (or its root, which is only ever raised) is off by, as a share of the largest of its block.
  double tolerance() const { return of == Of::values ? 0.5 / q() : 1.0 / q(); }
};

struct Blocks {
  std::vector<uint8_t> levels;  // one for each number; values: level + q
  std::vector<float> scales;    // one for each block
};

// nullopt: some number has no such form, because it or its scale is not finite, or because it is negative and has no root.
std::optional<Blocks> quantize(const Form& form, std::span<const float> numbers);

// CorruptData that begins with `source`: a level that the form does not have, a scale that is negative or makes numbers beyond fp32.
void dequantize(const Form& form, std::span<const uint8_t> levels, std::span<const float> scales, std::span<float> numbers,
                const std::string& source);

inline size_t num_blocks(uint64_t elems) { return static_cast<size_t>(elems / kBlock + (elems % kBlock != 0 ? 1 : 0)); }

}  // namespace thinwire::checkpoint::near

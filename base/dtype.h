// Element types and the two half-width casts, round to nearest even, without relying on compiler support for them.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace thinwire {

enum class DType : uint8_t { f32 = 0, bf16 = 1, f16 = 2, i64 = 3, u8 = 4, f64 = 5 };  // persisted: never renumber

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return 4;
    case DType::bf16: return 2;
    case DType::f16: return 2;
    case DType::i64: return 8;
    case DType::u8: return 1;
    case DType::f64: return 8;
  }
  return 0;
}

inline uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);  // NaN stays NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bf16(uint16_t half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }

// Values beyond the range of fp16 become infinite, as IEEE 754 asks; to_f16_saturating clamps them to +-65504 instead.
uint16_t to_f16(float value);
float from_f16(uint16_t half);
inline uint16_t to_f16_saturating(float value) {
  const uint16_t half = to_f16(value);
  return (half & 0x7fff) == 0x7c00 ? static_cast<uint16_t>(half - 1) : half;
}

}  // namespace thinwire

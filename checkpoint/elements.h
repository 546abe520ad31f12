// Elements of a tensor as numbers.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/dtype.h"

namespace thinwire::checkpoint {

// Of all dimensions but the first, 0 where there is one only. Second moments are near a product of one value per row and one per column; a
// kernel's rows are its outputs.
inline uint64_t row_elems(const std::vector<int64_t>& shape) {
  uint64_t elems = shape.size() < 2 ? 0 : 1;
  for (size_t i = 1; i < shape.size(); ++i) elems *= static_cast<uint64_t>(shape[i]);
  return elems;
}

inline double value_at(DType dtype, const std::byte* at) {
  switch (dtype) {
    case DType::f32: return load_le<float>(at);
    case DType::f64: return load_le<double>(at);
    case DType::bf16: return from_bf16(load_le<uint16_t>(at));
    case DType::f16: return from_f16(load_le<uint16_t>(at));
    case DType::i64: return static_cast<double>(load_le<int64_t>(at));
    case DType::u8: return static_cast<double>(load_le<uint8_t>(at));
  }
  broken_invariant("every DType has values");
}

// Rounded to nearest.
inline void store_value(DType dtype, double value, std::byte* at) {
  switch (dtype) {
    case DType::f32: return store_le(at, static_cast<float>(value));
    case DType::f64: return store_le(at, value);
    case DType::bf16: return store_le(at, to_bf16(static_cast<float>(value)));
    case DType::f16: return store_le(at, to_f16(static_cast<float>(value)));
    case DType::i64: return store_le(at, static_cast<int64_t>(std::llround(value)));
    case DType::u8: return store_le(at, static_cast<uint8_t>(std::lround(value)));
  }
}

}  // namespace thinwire::checkpoint

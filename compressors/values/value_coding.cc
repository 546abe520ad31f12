#include "compressors/values/value_coding.h"

#include <algorithm>
#include <cstring>

#include "compressors/topk/kernels.h"
#include "compressors/values/half_kernels.h"
#include "compressors/values/scaled_half.h"

namespace thinwire::compressors {
namespace {

// The largest of many numbers in memory without alignment, their sign bits aside. Without an early exit the loop vectorises.
template <class Number>
Number largest_magnitude(ConstBytes numbers, Number magnitude_bits) {
  Number largest = 0;
  for (size_t i = 0; i < numbers.size(); i += sizeof(Number)) {
    largest = std::max(largest, static_cast<Number>(load_le<Number>(numbers.data() + i) & magnitude_bits));
  }
  return largest;
}

}  // namespace

size_t value_bytes(ValueCoding coding, size_t count) { return coding == ValueCoding::fp16 ? 1 + 2 * count : 4 * count; }

void encode_values(ValueCoding coding, std::span<float> values, std::byte* out) {
  if (coding == ValueCoding::fp32) {
    std::memcpy(out, values.data(), values.size_bytes());
    std::ranges::fill(values, 0.0f);
    return;
  }
  const int exponent = ScaledHalf::exponent_for(topk_kernels::largest_of(values));
  store_le(out, static_cast<int8_t>(exponent));
  half_kernels::encode(values, exponent, out + 1);
}

const char* fault_in_values(ValueCoding coding, ConstBytes coded) {
  constexpr uint32_t kLargestFinite = 0x7f7fffff;
  if (coding == ValueCoding::fp32) {
    return largest_magnitude<uint32_t>(coded, 0x7fffffff) > kLargestFinite ? "value is not finite" : nullptr;
  }
  if (load_le<int8_t>(coded.data()) > ScaledHalf::kMostExponent) return "exponent is out of range";
  return largest_magnitude<uint16_t>(coded.subspan(1), 0x7fff) > ScaledHalf::kMostMagnitude ? "value is out of range" : nullptr;
}

void decode_values(ValueCoding coding, const std::byte* coded, std::span<float> values) {
  if (coding == ValueCoding::fp32) {
    std::memcpy(values.data(), coded, values.size_bytes());
  } else {
    half_kernels::decode(coded + 1, load_le<int8_t>(coded), values);
  }
}

}  // namespace thinwire::compressors

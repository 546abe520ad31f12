// How the values of a block travel: as fp16 with one exponent for the block (scaled_half.h), or as fp32.
//
//   fp16   i8 exponent, then a u16 half for each value      error at most 2^-11 |a|, or 2^-39 of the block's largest
//   fp32   4 bytes for each value                           exact
#pragma once
#include <span>

#include "base/bytes.h"

namespace thinwire::compressors {

enum class ValueCoding : uint8_t { fp16, fp32 };

size_t value_bytes(ValueCoding coding, size_t count);

// Writes value_bytes() of them, and leaves value - decoded in `values`. All are finite; there is at least one.
void encode_values(ValueCoding coding, std::span<float> values, std::byte* out);

// What is wrong with these value_bytes() of a peer, or nullptr: then they decode to finite values.
const char* fault_in_values(ValueCoding coding, ConstBytes coded);

void decode_values(ValueCoding coding, const std::byte* coded, std::span<float> values);

}  // namespace thinwire::compressors

// 12-bit numbers, two in three bytes, the last of an odd count in two:
//
//   byte 0 = low 8 bits of the first | byte 1 = its high 4 bits, and the second's low 4 bits above them | byte 2 = the second's high 8 bits
//
// The high half of an odd count's last byte is 0. Pure functions; the caller sizes the buffers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace thinwire::compressors {

inline constexpr uint32_t kMost12Bit = 4096;

constexpr size_t packed12_bytes(size_t count) { return (3 * count + 1) / 2; }

// Every number is below kMost12Bit; `out` has packed12_bytes(numbers.size()).
void pack12(std::span<const uint16_t> numbers, std::byte* out);
void pack12(std::span<const uint32_t> numbers, std::byte* out);

// `packed` has packed12_bytes(numbers.size()) bytes. False when the padding of an odd count is not 0: two payloads would mean the same.
[[nodiscard]] bool unpack12(const std::byte* packed, std::span<uint16_t> numbers);
[[nodiscard]] bool unpack12(const std::byte* packed, std::span<uint32_t> numbers);

}  // namespace thinwire::compressors

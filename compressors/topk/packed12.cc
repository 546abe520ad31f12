#include "compressors/topk/packed12.h"

namespace thinwire::compressors {
namespace {

template <class Number>
void pack(std::span<const Number> numbers, std::byte* out) {
  const size_t pairs = numbers.size() / 2;
  for (size_t i = 0; i < pairs; ++i) {
    const uint32_t both = numbers[2 * i] | static_cast<uint32_t>(numbers[2 * i + 1]) << 12;
    out[3 * i] = static_cast<std::byte>(both);
    out[3 * i + 1] = static_cast<std::byte>(both >> 8);
    out[3 * i + 2] = static_cast<std::byte>(both >> 16);
  }
  if (numbers.size() % 2 == 1) store_le(out + 3 * pairs, static_cast<uint16_t>(numbers.back()));
}

template <class Number>
bool unpack(const std::byte* packed, std::span<Number> numbers) {
  const size_t pairs = numbers.size() / 2;
  for (size_t i = 0; i < pairs; ++i) {
    const auto byte = [&](size_t j) { return std::to_integer<uint32_t>(packed[3 * i + j]); };
    const uint32_t both = byte(0) | byte(1) << 8 | byte(2) << 16;
    numbers[2 * i] = static_cast<Number>(both & 0xfff);
    numbers[2 * i + 1] = static_cast<Number>(both >> 12);
  }
  if (numbers.size() % 2 == 0) return true;
  numbers.back() = load_le<uint16_t>(packed + 3 * pairs);
  return numbers.back() < kMost12Bit;
}

}  // namespace

void pack12(std::span<const uint16_t> numbers, std::byte* out) { pack(numbers, out); }
void pack12(std::span<const uint32_t> numbers, std::byte* out) { pack(numbers, out); }
bool unpack12(const std::byte* packed, std::span<uint16_t> numbers) { return unpack(packed, numbers); }
bool unpack12(const std::byte* packed, std::span<uint32_t> numbers) { return unpack(packed, numbers); }

}  // namespace thinwire::compressors

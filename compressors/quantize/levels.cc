#include "compressors/quantize/levels.h"

#include "base/check.h"

namespace thinwire::compressors {
namespace {

// `ones` set bits at the foot of every `period` bits.
constexpr uint64_t comb(int ones, int period) {
  uint64_t mask = 0;
  for (int at = 0; at < 64; at += period) mask |= ((uint64_t{1} << ones) - 1) << at;
  return mask;
}

// Numbers of Bits bits, one in every Period, become numbers of 2 Bits, one in every 2 Period; and back.
template <int Bits, int Period>
uint64_t join_pairs(uint64_t x) {
  constexpr uint64_t kEven = comb(Bits, 2 * Period);
  return (x & kEven) | (x >> (Period - Bits) & kEven << Bits);
}
template <int Bits, int Period>
uint64_t split_pairs(uint64_t x) {
  constexpr uint64_t kEven = comb(Bits, 2 * Period);
  return (x & kEven) | (x << (Period - Bits) & kEven << Period);
}

template <int Bits>
uint64_t pack8(uint64_t levels) {
  return join_pairs<4 * Bits, 32>(join_pairs<2 * Bits, 16>(join_pairs<Bits, 8>(levels)));
}
template <int Bits>
uint64_t unpack8(uint64_t packed) {
  return split_pairs<Bits, 8>(split_pairs<2 * Bits, 16>(split_pairs<4 * Bits, 32>(packed)));
}

template <int Bits>
void pack_all(std::span<const uint8_t> levels, std::byte* out) {
  size_t i = 0;
  for (; i + 8 <= levels.size(); i += 8, out += Bits) {
    uint64_t eight;
    std::memcpy(&eight, levels.data() + i, 8);
    const uint64_t packed = pack8<Bits>(eight);
    std::memcpy(out, &packed, Bits);
  }
  if (i == levels.size()) return;
  uint64_t rest = 0;
  std::memcpy(&rest, levels.data() + i, levels.size() - i);
  const uint64_t packed = pack8<Bits>(rest);
  std::memcpy(out, &packed, packed_levels_bytes(levels.size() - i, Bits));
}

template <int Bits>
bool unpack_all(const std::byte* packed, std::span<uint8_t> levels) {
  size_t i = 0;
  for (; i + 8 <= levels.size(); i += 8, packed += Bits) {
    uint64_t eight = 0;
    std::memcpy(&eight, packed, Bits);
    eight = unpack8<Bits>(eight);
    std::memcpy(levels.data() + i, &eight, 8);
  }
  const size_t rest = levels.size() - i;
  if (rest == 0) return true;
  uint64_t last = 0;
  std::memcpy(&last, packed, packed_levels_bytes(rest, Bits));
  const uint64_t unpacked = unpack8<Bits>(last);
  std::memcpy(levels.data() + i, &unpacked, rest);
  return last >> (rest * Bits) == 0;
}

// f of the width as a compile-time number.
template <class F>
auto with_width(int bits, F&& f) {
  switch (bits) {
    case 1: return f.template operator()<1>();
    case 2: return f.template operator()<2>();
    case 3: return f.template operator()<3>();
    case 4: return f.template operator()<4>();
    case 5: return f.template operator()<5>();
    case 6: return f.template operator()<6>();
    case 7: return f.template operator()<7>();
    case 8: return f.template operator()<8>();
    default: check(false, "levels have 1 to 8 bits"); return f.template operator()<8>();
  }
}

}  // namespace

void pack_levels(std::span<const uint8_t> levels, int bits, std::byte* out) {
  with_width(bits, [&]<int Bits>() { pack_all<Bits>(levels, out); });
}

bool unpack_levels(const std::byte* packed, int bits, std::span<uint8_t> levels) {
  return with_width(bits, [&]<int Bits>() { return unpack_all<Bits>(packed, levels); });
}

}  // namespace thinwire::compressors

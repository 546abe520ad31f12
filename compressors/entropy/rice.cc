#include "compressors/entropy/rice.h"

#include <bit>

namespace thinwire::compressors::rice {
namespace {

constexpr double kInverseGoldenRatio = 0.6180339887498949;

constexpr uint64_t low_bits(unsigned count) { return (uint64_t{1} << count) - 1; }

template <class Index>
void encode_run(std::span<const Index> ascending, unsigned parameter, BitWriter& out) {
  uint64_t next = 0;  // the least position that may follow
  for (const Index position : ascending) {
    const uint64_t gap = position - next;
    next = uint64_t{position} + 1;
    uint64_t zeros = gap >> parameter;
    for (; zeros > 64 - 1 - kMostParameter; zeros -= 32) out.put(0, 32);
    const uint64_t tail = 1 | (gap & low_bits(parameter)) << 1;
    out.put(tail << zeros, static_cast<unsigned>(zeros) + 1 + parameter);
  }
}

// Skips zeros and the one that ends them; at most `most` zeros, or the bytes are corrupt. For runs that do not fit a window.
bool skip_long_run(BitReader& in, uint64_t most, uint64_t& zeros) {
  zeros = 0;
  for (; zeros <= most && !in.at_end();) {
    const uint64_t window = in.window() & low_bits(BitReader::kWindowBits);
    if (window != 0) {
      const unsigned run = static_cast<unsigned>(std::countr_zero(window));
      in.skip(run + 1);
      zeros += run;
      return zeros <= most;
    }
    in.skip(BitReader::kWindowBits);
    zeros += BitReader::kWindowBits;
  }
  return false;
}

template <class Index>
bool decode_run(BitReader& in, unsigned parameter, size_t of, std::span<Index> ascending) {
  const uint64_t mask = low_bits(parameter), most_zeros = uint64_t{of} >> parameter;
  const unsigned short_run = BitReader::kWindowBits - 1 - parameter;  // zeros that leave room for the rest within one window
  BitReader at = in;                                                  // a local copy: its fields stay in registers
  uint64_t next = 0;
  for (Index& position : ascending) {
    const uint64_t window = at.window();
    uint64_t zeros = static_cast<uint64_t>(std::countr_zero(window));
    uint64_t low = 0;
    if (zeros <= short_run) [[likely]] {
      low = window >> (zeros + 1) & mask;
      at.skip(zeros + 1 + parameter);
    } else {
      if (!skip_long_run(at, most_zeros, zeros)) return false;
      low = at.window() & mask;
      at.skip(parameter);
    }
    next += (zeros << parameter | low) + 1;
    position = static_cast<Index>(next - 1);
  }
  in = at;
  return in.ok() && next <= of;  // gaps only add: the last position is the largest, and too large a one stays so
}

template <class Index>
bool decode_bytes(ConstBytes coded, unsigned parameter, size_t of, std::span<Index> ascending, size_t& used_bytes) {
  BitReader in(coded);
  if (!decode_run(in, parameter, of, ascending) || !in.padded_with_zeros()) return false;
  used_bytes = in.used_bytes();
  return true;
}

template <class Index>
size_t encode_bytes(std::span<const Index> ascending, unsigned parameter, std::byte* out) {
  BitWriter writer(out);
  encode_run(ascending, parameter, writer);
  return static_cast<size_t>(writer.finish() - out);
}

}  // namespace

unsigned parameter_for(size_t kept, size_t of) {
  if (kept == 0) return 0;
  double missed = static_cast<double>(of - kept) / static_cast<double>(of);
  unsigned parameter = 0;
  for (; missed > kInverseGoldenRatio && parameter < kMostParameter; ++parameter) missed *= missed;
  return parameter;
}

uint64_t worst_bits(size_t count, size_t of, unsigned parameter) {
  return count == 0 ? 0 : uint64_t{count} * (parameter + 1) + (uint64_t{of - count} >> parameter);
}
size_t worst_bytes(size_t count, size_t of, unsigned parameter) { return static_cast<size_t>((worst_bits(count, of, parameter) + 7) / 8); }

size_t encode(std::span<const uint16_t> ascending, unsigned parameter, std::byte* out) { return encode_bytes(ascending, parameter, out); }
size_t encode(std::span<const uint32_t> ascending, unsigned parameter, std::byte* out) { return encode_bytes(ascending, parameter, out); }
bool decode(ConstBytes coded, unsigned parameter, size_t of, std::span<uint16_t> ascending, size_t& used_bytes) {
  return decode_bytes(coded, parameter, of, ascending, used_bytes);
}
bool decode(ConstBytes coded, unsigned parameter, size_t of, std::span<uint32_t> ascending, size_t& used_bytes) {
  return decode_bytes(coded, parameter, of, ascending, used_bytes);
}

void encode(std::span<const uint16_t> ascending, unsigned parameter, BitWriter& out) { encode_run(ascending, parameter, out); }
void encode(std::span<const uint32_t> ascending, unsigned parameter, BitWriter& out) { encode_run(ascending, parameter, out); }
bool decode(BitReader& in, unsigned parameter, size_t of, std::span<uint16_t> ascending) {
  return decode_run(in, parameter, of, ascending);
}
bool decode(BitReader& in, unsigned parameter, size_t of, std::span<uint32_t> ascending) {
  return decode_run(in, parameter, of, ascending);
}

}  // namespace thinwire::compressors::rice

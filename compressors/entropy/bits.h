// A stream of bits in bytes: bit i of the stream is bit i % 8, counted from the lowest, of byte i / 8. Fields follow one another without
// alignment, lowest bit first; the bits that are left of the last byte are 0.
//
// Values on the stack; they touch only the bytes that the stream takes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace thinwire::compressors {

class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : at_(out) {}

  // The low `count` bits of `bits`, whose others are 0; 0 <= count <= 64.
  void put(uint64_t bits, unsigned count) {
    window_ |= bits << filled_;  // filled_ is below 64
    if (filled_ + count < 64) {
      filled_ += count;
      return;
    }
    store_le(at_, window_);
    at_ += sizeof window_;
    const unsigned taken = 64 - filled_;
    window_ = taken == 64 ? 0 : bits >> taken;
    filled_ = count - taken;
  }

  // Fills up the last byte and returns the end of the stream. Once, at the end.
  std::byte* finish() {
    const size_t rest = (filled_ + 7) / 8;
    if (rest != 0) std::memcpy(at_, &window_, rest);  // an empty stream may have no buffer
    return at_ + rest;
  }

 private:
  std::byte* at_;
  uint64_t window_ = 0;
  unsigned filled_ = 0;
};

class BitReader {
 public:
  static constexpr unsigned kWindowBits = 57;

  explicit BitReader(ConstBytes bytes) : bytes_(bytes) {}

  // The next bits: at least kWindowBits of them, those behind the end being 0. Reads no byte behind the end.
  uint64_t window() const {
    const uint64_t byte = at_ / 8;
    if (byte + sizeof(uint64_t) <= bytes_.size()) [[likely]]
      return load_le<uint64_t>(bytes_.data() + byte) >> at_ % 8;
    return last_bytes(byte) >> at_ % 8;
  }
  void skip(uint64_t bits) { at_ += bits; }  // may pass the end: ok() tells

  bool ok() const { return at_ <= 8 * uint64_t{bytes_.size()}; }  // nothing behind the end was taken so far
  bool at_end() const { return at_ >= 8 * uint64_t{bytes_.size()}; }
  size_t used_bytes() const { return static_cast<size_t>((at_ + 7) / 8); }

  // The stream ends here: ok(), and the bits that are left of its last byte are 0.
  bool padded_with_zeros() const { return ok() && (window() & ((1u << (8 - at_ % 8) % 8) - 1)) == 0; }

 private:
  uint64_t last_bytes(uint64_t byte) const {
    uint64_t window = 0;
    if (byte < bytes_.size()) std::memcpy(&window, bytes_.data() + byte, bytes_.size() - static_cast<size_t>(byte));
    return window;
  }

  ConstBytes bytes_;
  uint64_t at_ = 0;
};

}  // namespace thinwire::compressors

// A binary arithmetic coder: a bit costs about -log2 of the probability that it was given. Integers only, so that every machine decodes the
// same.
//
// The coder keeps an interval of 32-bit numbers, which each bit cuts in two. Leading bytes that both ends share are written at once; at the
// end follow the fewest bytes that lie in the interval, whatever zeros follow them.
#pragma once
#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace thinwire::checkpoint::extreme {

class Interval {
 protected:
  // The part for a bit that is 1 with probability one / 2^16, 0 < one < 2^16.
  void narrow(int bit, uint32_t middle) { bit != 0 ? high_ = middle : low_ = middle + 1; }
  uint32_t middle(uint32_t one) const { return low_ + static_cast<uint32_t>(uint64_t{high_ - low_} * one >> 16); }
  bool has_leading_byte() const { return ((low_ ^ high_) & 0xff000000u) == 0; }
  void drop_leading_byte() {
    low_ <<= 8;
    high_ = high_ << 8 | 0xffu;
  }
  uint32_t low_ = 0, high_ = 0xffffffffu;
};

class BitEncoder : private Interval {
 public:
  explicit BitEncoder(std::vector<std::byte>& out) : out_(out) {}  // appends

  int code(int bit, uint32_t one) {
    narrow(bit, middle(one));
    while (has_leading_byte()) {
      out_.push_back(static_cast<std::byte>(low_ >> 24));
      drop_leading_byte();
    }
    return bit;
  }
  void finish() {
    uint32_t value = 0;
    int bytes = 0;
    while (value < low_ || value > high_) {  // with four bytes it is low_ itself
      ++bytes;
      const uint32_t below = bytes == 4 ? 0 : 0xffffffffu >> 8 * bytes;
      value = (low_ & ~below) + ((low_ & below) == 0 ? 0 : below + 1);
    }
    for (int i = 0; i < bytes; ++i) out_.push_back(static_cast<std::byte>(value >> (24 - 8 * i)));
  }

 private:
  std::vector<std::byte>& out_;
};

// Whatever the bytes are, bits come out.
class BitDecoder : private Interval {
 public:
  explicit BitDecoder(ConstBytes coded) : coded_(coded) {
    for (int i = 0; i < 4; ++i) shift();
  }

  int code(int, uint32_t one) {
    const uint32_t cut = middle(one);
    const int bit = value_ <= cut ? 1 : 0;
    narrow(bit, cut);
    while (has_leading_byte()) {
      drop_leading_byte();
      shift();
    }
    return bit;
  }
  // All bytes were needed, and no more than finish() leaves out were missing.
  bool is_at_end() const { return used_ >= coded_.size() && used_ - coded_.size() <= 4; }

 private:
  void shift() {
    value_ = value_ << 8 | (used_ < coded_.size() ? static_cast<uint32_t>(coded_[used_]) : 0u);
    ++used_;
  }
  ConstBytes coded_;
  size_t used_ = 0;
  uint32_t value_ = 0;
};

}  // namespace thinwire::checkpoint::extreme

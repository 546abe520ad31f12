// Bytes in one of five forms, about the shortest, chosen by a look at a sample:
//
//   0 constant   the byte
//   1 raw        the bytes
//   2 rANS       u32 length, rANS of order 0 (compressors/entropy/rans.h)
//   3 zstd       u32 length, a zstd frame
//   4 packed     u8 constant bits, u8 lowest bit that differs, u8 number of those that do, the differing bits (pack.h)
//
// The number of bytes is known to both sides.
#pragma once
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace thinwire::checkpoint::exact {

enum class Repeats : uint8_t { unlikely, likely };  // likely: zstd is tried even where single bytes look random

// Buffers that one thread works in. encode() and decode() leave nothing behind that matters.
class StreamCoder {
 public:
  StreamCoder();
  ~StreamCoder();
  void encode(ConstBytes bytes, Repeats repeats, std::vector<std::byte>& out);  // appends
  // Fills `bytes`. CorruptData when the stream does not give exactly so many.
  void decode(ByteReader& in, MutableBytes bytes);

 private:
  bool encode_shorter(ConstBytes bytes, Repeats repeats, std::vector<std::byte>& out);
  size_t encode_zstd(ConstBytes bytes);  // into zstd_room_
  struct Zstd;
  std::unique_ptr<Zstd> zstd_;
  std::vector<std::byte> rans_room_, zstd_room_;
};

}  // namespace thinwire::checkpoint::exact

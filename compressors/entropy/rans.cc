#include "compressors/entropy/rans.h"

#include <htscodecs/rANS_static4x16.h>

#include <algorithm>

namespace thinwire::compressors::rans {
namespace {

// Order 0, 4 states, no transform, and no length in front: all other bits of a stream's first byte are 0.
constexpr int kForm = RANS_ORDER_NOSZ;

// The library takes what it only reads without const.
unsigned char* bytes_for_c(ConstBytes bytes) { return reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data())); }
unsigned char* bytes_for_c(MutableBytes bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

// Order 0 with a length in front, which kForm leaves out.
size_t block_room(size_t block_bytes) { return rans_compress_bound_4x16(static_cast<unsigned>(block_bytes), 0); }
size_t lengths_bytes(size_t raw_bytes) { return (raw_bytes + kBlockBytes - 1) / kBlockBytes * sizeof(uint32_t); }

// The stream's length; the block as it is where coding would not make it shorter.
size_t encode_block(ConstBytes block, MutableBytes out) {
  unsigned written = static_cast<unsigned>(out.size());
  const bool coded =
      rans_compress_to_4x16(bytes_for_c(block), static_cast<unsigned>(block.size()), bytes_for_c(out), &written, kForm) != nullptr;
  if (coded && written < block.size()) return written;
  std::ranges::copy(block, out.begin());
  return block.size();
}

bool decode_block(ConstBytes stream, MutableBytes block) {
  if (stream.size() == block.size()) {
    std::ranges::copy(stream, block.begin());
    return true;
  }
  if (stream.empty() || stream.size() > block.size() || stream[0] != std::byte{kForm}) return false;
  unsigned written = static_cast<unsigned>(block.size());
  const unsigned char* result =
      rans_uncompress_to_4x16(bytes_for_c(stream), static_cast<unsigned>(stream.size()), bytes_for_c(block), &written);
  return result != nullptr && written == block.size();
}

}  // namespace

size_t worst_bytes(size_t raw_bytes) { return raw_bytes + lengths_bytes(raw_bytes); }
size_t room_bytes(size_t raw_bytes) { return worst_bytes(raw_bytes) + block_room(std::min(raw_bytes, kBlockBytes)); }

size_t encode(ConstBytes raw, MutableBytes out) {
  ByteWriter writer(out);
  for (size_t begin = 0; begin < raw.size(); begin += kBlockBytes) {
    const ConstBytes block = raw.subspan(begin, std::min(kBlockBytes, raw.size() - begin));
    const MutableBytes length = writer.take(sizeof(uint32_t));
    const size_t written = encode_block(block, out.subspan(writer.offset(), block_room(block.size())));
    store_le(length.data(), static_cast<uint32_t>(written));
    writer.take(written);
  }
  return writer.offset();
}

bool decode(ConstBytes coded, MutableBytes raw) {
  for (size_t begin = 0; begin < raw.size(); begin += kBlockBytes) {
    if (coded.size() < sizeof(uint32_t)) return false;
    const size_t length = load_le<uint32_t>(coded.data());
    coded = coded.subspan(sizeof(uint32_t));
    if (length > coded.size()) return false;
    if (!decode_block(coded.first(length), raw.subspan(begin, std::min(kBlockBytes, raw.size() - begin)))) return false;
    coded = coded.subspan(length);
  }
  return coded.empty();
}

}  // namespace thinwire::compressors::rans

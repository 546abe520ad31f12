// How the positions of a block's kept elements travel.
//
//   raw16      u16 each, blocks of at most 65536 elements
//   raw32      u32 each
//   packed12   12 bits each, blocks of at most 4096 elements (packed12.h)
//   rice       the gaps between them, Rice coded (compressors/entropy/rice.h); the parameter follows from the counts, so none is sent
//
// Every ascending choice of positions has exactly one code.
#pragma once
#include <span>

#include "base/bytes.h"

namespace thinwire::compressors {

enum class IndexCoding : uint8_t { raw16, raw32, packed12, rice };

// No code of `count` positions among `of` is longer; without rice, all are as long. 1 <= count <= of.
size_t worst_index_bytes(IndexCoding coding, size_t count, size_t of);

// Returns the bytes written.
size_t encode_indices(IndexCoding coding, std::span<const uint32_t> ascending, size_t of, std::byte* out);

// Reads positions from the front of a peer's bytes, which may hold more, and says how many bytes they took. What is wrong with them, or
// nullptr: then they are ascending and below `of`.
const char* decode_indices(IndexCoding coding, ConstBytes coded, size_t of, std::span<uint32_t> ascending, size_t& used_bytes);

}  // namespace thinwire::compressors

// Bytes whose values are not equally frequent, in fewer bytes: rANS of order 0 (J. Duda, arXiv 1311.2540), computed by htscodecs. The form
// is the "rANS Nx16" of CRAM 3.1 with 4 states and no transforms.
//
// The bytes are cut into blocks of kBlockBytes, the last one shorter. Each block travels as a u32 length and a stream of so many bytes;
// where the length equals the block's own, the stream is the block as it is. So coding never adds more than 4 bytes a block.
//
// htscodecs is C and gets bytes from strangers. What keeps that safe (checked against its 1.3.0, which Debian 12 has):
// - Of its decoders only the plain one of order 0 can be reached: a stream must begin with the byte that says so. The others (run lengths,
//   packing, stripes, 32 states by SIMD) had bounds repaired after 1.3.0 and take lengths from the stream.
// - The output length is ours, not the stream's (the form without a size), and so is the buffer. This decoder checks each read against the
//   end of its input and each table entry; corrupt bytes give an error or wrong bytes.
// - Neither direction allocates: the output is given, and blocks stay below the 500 000 bytes from which the encoder would.
#pragma once
#include "base/bytes.h"

namespace thinwire::compressors::rans {

inline constexpr size_t kBlockBytes = 256 * 1024;

// What encode() writes at most, and the room that it needs to work in.
size_t worst_bytes(size_t raw_bytes);
size_t room_bytes(size_t raw_bytes);

// Returns the bytes written. `out` has room_bytes(raw.size()); it may not overlap `raw`.
size_t encode(ConstBytes raw, MutableBytes out);

// Fills `raw`. False when `coded` is corrupt; then `raw` holds anything. It takes streams that encode() would not write: who wants one
// encoding for each meaning encodes again and compares.
[[nodiscard]] bool decode(ConstBytes coded, MutableBytes raw);

}  // namespace thinwire::compressors::rans

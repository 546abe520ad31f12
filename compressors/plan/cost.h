// What a payload costs on the way: bytes that one rank sends, and seconds.
#pragma once
#include <cstddef>

#include "compressors/compressor.h"

namespace thinwire::compressors {

// Whether so many ranks re-encode what may be: two gather it, which sends as many bytes in one trip (docs/decisions/020).
constexpr bool reencodes(int ranks) { return ranks > 2; }

// Bytes that each of `ranks` sends for a layer whose payload, or all rounds of whose sketch, has payload_bytes:
//   gather     (ranks - 1) * bytes              the payload to each other rank
//   reencode   2 * bytes * (ranks - 1) / ranks  slices to their owners, and the encoded mean back
//   sketch     2 * bytes * (ranks - 1) / ranks  ring all-reduce
double wire_bytes(Combine combine, double payload_bytes, int ranks);

// traits().exact_bytes, or worst_bytes where lengths vary with the data.
double payload_bytes(const Traits& traits);

// Seconds per element of a codec on one core, as measured.
struct CodecSpeed {
  double encode_s_per_elem = 0, decode_s_per_elem = 0;
};

// Codec work of each rank for a layer of `elems`:
//   gather     encode once, decode `ranks` payloads
//   reencode   encode the layer and its own slice of the mean; decode its slice of each payload, and the mean; two ranks gather
//   sketch     produce, absorb and decode once
double codec_seconds(Combine combine, double elems, int ranks, const CodecSpeed& speed);

}  // namespace thinwire::compressors

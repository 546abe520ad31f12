// Payloads whose length depends on the data: every part is first written to a slot that holds the longest there can be, then the parts
// are moved together. A part counts in bits, so that bit streams join as byte blocks do. What moves is a small share of what was encoded.
#pragma once
#include "compressors/device/launch.cuh"

namespace thinwire::compressors::device {

struct Slots {
  // Cut from scratch: `count` slots, none of whose parts is longer than most_bytes.
  Slots(Scratch& scratch, size_t count, size_t most_bytes);

  __device__ std::byte* at(size_t slot) const { return data + slot * stride_bytes; }

  size_t count;
  size_t stride_bytes;  // of 4
  std::byte* data;
  uint32_t* lengths;  // in bits: the encoder's to write, as the slots are
  uint32_t* offsets;  // in bits, from the beginning of the slot's tile
  uint64_t* tiles;    // in bits, where a tile of slots begins
};

// Moves the parts to out + header_bytes, a multiple of 4, bit behind bit, fills the last word with zeros, and reports the payload's length.
// Nothing is done after a fault.
void gather(const Slots& slots, size_t header_bytes, std::byte* out, const DeviceContext& context);

}  // namespace thinwire::compressors::device

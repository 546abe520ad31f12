// For the host's half of the kernels: at which bit each block of a stream with Rice codes begins.
//
// A code says how long it is, so a stream is read from its front; thousands of threads do it all the same. For every bit of the stream they
// work out where a code that begins there would end, and follow these links by doubling: two codes on, four, ..., a block on; then two
// blocks on, four, ... The true beginnings are then those that bit 0 leads to.
#pragma once
#include "compressors/sparseloco/shape.cuh"

namespace thinwire::compressors::sparseloco {

// 3 arrays of a number for each bit: scratch for streams of up to most_bits.
struct Links {
  Links(device::Scratch& scratch, uint64_t most_bits) {
    for (uint32_t*& links : arrays) links = scratch.take<uint32_t>(most_bits + 1);
  }
  uint32_t* arrays[3];
};

inline constexpr uint32_t kNoLink = ~uint32_t{0};

// starts[block], or kNoLink where the stream ends before that.
void find_starts(const Shape& shape, const uint32_t* stream, uint64_t bits, const Links& links, uint32_t* starts,
                 const DeviceContext& context);

}  // namespace thinwire::compressors::sparseloco

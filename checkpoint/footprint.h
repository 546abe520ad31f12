// What coding a save takes in memory beside the codings that it makes, before there is anything to code.
#pragma once
#include "checkpoint/checkpoint.h"

namespace thinwire::checkpoint {

// Bytes of buffers of one of the threads that code. `largest_elems`: of the largest tensor, of fp32; chunks are no larger than
// exact::kChunkElems. `bases`: that the chain has at most, for mode extreme, which decodes each for the weights of a chunk. 0 in mode raw.
double thread_bytes(const CheckpointOptions& options, uint64_t largest_elems, size_t bases);

// Bytes that each element takes while it waits to be coded: a level of near_exact's moments, of residuals in extreme too.
inline constexpr double kLevelBytes = 1;

// What a save wants free, over its bytes before they are coded.
inline constexpr double kSpaceMargin = 1.1;

}  // namespace thinwire::checkpoint

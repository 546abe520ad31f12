// How large what a round was given is, and what its codecs left of it.
#pragma once
#include <cstddef>

#include "compressors/codec.h"

namespace thinwire::exchange {

// Square sums of one slot in the last compressed round, on this rank. Doubles throughout: saved as they are.
struct SlotNorms {
  double offered = 0;        // what went into the codec, the residual included
  double residual = 0;       // what was left over after it
  double largest_input = 0;  // of all rounds: what the caller gave, times its scale
};

// Square sums of scale * x, and of what goes into the codec: decay * residual + scale * x.
struct Squares {
  double input = 0, offered = 0;
};
Squares squares_of(const compressors::In& in, size_t elems);

}  // namespace thinwire::exchange

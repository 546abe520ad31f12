// What the sparseloco codec tells its half in the CUDA module (sparseloco.cu).
#pragma once
#include "compressors/device_codec.h"
#include "compressors/sparseloco/plan.h"

namespace thinwire::compressors {

struct SparseLocoOnDevice {
  sparseloco::Plan plan(Layer layer) const { return {layer, vectors, k, bits, coding}; }

  Blocks::Vectors vectors;
  size_t k;
  unsigned bits;
  sparseloco::PositionCoding coding;
};

}  // namespace thinwire::compressors

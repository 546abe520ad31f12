// What the quantize codec tells its half in the CUDA module (quantize.cu).
#pragma once
#include "compressors/device_codec.h"

namespace thinwire::compressors {

struct QuantizeOnDevice {
  int bits;
  size_t bucket_elems;
  bool is_qsgd;        // else minmax
  bool is_stochastic;  // else to nearest
};

}  // namespace thinwire::compressors

// What the sign codec tells its half in the CUDA module (sign.cu).
#pragma once
#include "compressors/device_codec.h"

namespace thinwire::compressors {

struct SignOnDevice {
  size_t block_elems;
};

}  // namespace thinwire::compressors

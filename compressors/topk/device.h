// What the topk codec tells its half in the CUDA module (topk.cu).
#pragma once
#include "compressors/device_codec.h"
#include "compressors/topk/index_coding.h"
#include "compressors/values/value_coding.h"

namespace thinwire::compressors {

struct TopkOnDevice {
  double density;
  size_t chunk_elems;  // at most 4096
  ValueCoding values;
  IndexCoding indices;  // raw16 or packed12
};

}  // namespace thinwire::compressors

// What the topk codec tells its halves in the CUDA module: topk.cu by chunks, layer.cu over whole layers with positions as raw32.
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

struct TopkOfLayerOnDevice {
  double density;
  ValueCoding values;
};

}  // namespace thinwire::compressors

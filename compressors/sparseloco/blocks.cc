#include "compressors/sparseloco/blocks.h"

#include <algorithm>

namespace thinwire::compressors {

size_t largest_divisor(size_t of, size_t at_most) {
  size_t divisor = std::min(of, at_most);
  while (of % divisor != 0) --divisor;
  return divisor;
}

Blocks::Blocks(Layer layer, Vectors vectors) {
  const size_t elems = static_cast<size_t>(layer.elems());
  const bool matrix = layer.rows > 1 && layer.cols > 1;
  const size_t rows = matrix ? static_cast<size_t>(layer.rows) : 1;
  cols_ = matrix ? static_cast<size_t>(layer.cols) : elems;
  if (elems == 0) {
    height_ = width_ = 1;
    down_ = across_ = 0;
    return;
  }
  height_ = largest_divisor(rows, kBlockSide);
  width_ = !matrix && vectors == Vectors::chunks_of_4096 ? std::min(elems, kBlockElems) : largest_divisor(cols_, kBlockSide);
  down_ = rows / height_;
  across_ = (cols_ + width_ - 1) / width_;
}

}  // namespace thinwire::compressors

// How SparseLoCo cuts a tensor: a matrix into blocks of h x w, with h the largest divisor of the rows that is at most 64 and w that of the
// columns; a vector (one row or one column) into chunks. Within a block elements count row-major; blocks follow one another row-major.
#pragma once
#include <cstddef>

#include "compressors/compressor.h"

namespace thinwire::compressors {

inline constexpr size_t kBlockSide = 64;
inline constexpr size_t kBlockElems = kBlockSide * kBlockSide;  // no block is larger

size_t largest_divisor(size_t of, size_t at_most);

struct Block {
  size_t begin;  // of its first element in the layer
  size_t height, width;
  size_t elems() const { return height * width; }
};

class Blocks {
 public:
  enum class Vectors { chunks_of_4096, divisor_up_to_64 };  // the paper's rule, and that of its code

  Blocks(Layer layer, Vectors vectors);

  size_t count() const { return down_ * across_; }
  size_t stride() const { return cols_; }  // from a block's row to its next
  Block at(size_t index) const {
    const size_t col = index % across_ * width_;
    return {.begin = index / across_ * height_ * cols_ + col, .height = height_, .width = col + width_ <= cols_ ? width_ : cols_ - col};
  }

 private:
  size_t cols_;
  size_t height_, width_;
  size_t down_, across_;
};

}  // namespace thinwire::compressors

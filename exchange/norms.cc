#include "exchange/norms.h"

#include <algorithm>

#include "compressors/dense_kernels.h"

namespace thinwire::exchange {

Squares squares_of(const compressors::In& in, size_t elems) {
  constexpr size_t kBlockElems = 1024;  // sums of sums: a long layer's last elements count as exactly as its first
  Squares sums;
  for (size_t begin = 0; begin < elems; begin += kBlockElems) {
    const auto block = compressors::dense_kernels::square_sums(in, begin, std::min(kBlockElems, elems - begin));
    sums.input += block.fresh;
    sums.offered += block.whole;
  }
  return sums;
}

}  // namespace thinwire::exchange

#include "exchange/norms.h"

#include <algorithm>
#include <array>
#include <span>

#include "compressors/dense_kernels.h"
#include "compressors/guards.h"

namespace thinwire::exchange {

Squares squares_of(const compressors::In& in, size_t elems) {
  std::array<float, 1024> block;
  Squares sums;
  const auto square_sum = [&](const compressors::In& of, size_t begin) {
    const auto a = std::span(block).first(std::min(block.size(), elems - begin));
    compressors::accumulate(of, begin, a);
    return compressors::dense_kernels::square_sum(a);
  };
  for (size_t begin = 0; begin < elems; begin += block.size()) {
    const double input = square_sum({.x = in.x, .scale = in.scale}, begin);
    sums.input += input;
    sums.offered += in.residual == nullptr ? input : square_sum(in, begin);
  }
  return sums;
}

}  // namespace thinwire::exchange

#include "compressors/lowrank/kernels.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/lowrank/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::lowrank::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kLanes>;
using Vec = hn::Vec<Floats>;

constexpr size_t kWidth = hn::MaxLanes(Floats());
constexpr size_t kVectors = kLanes / kWidth;  // that make up the 16 lanes of times()
// Rows and columns of a basis that are in registers together: 16 accumulators where a vector is 16 floats, 8 where it is shorter.
constexpr size_t kBlock = kVectors == 1 ? 4 : 2;

// body(first, count as a constant) over [0, total) in steps of kBlock, the rest one by one.
template <class Body>
HWY_INLINE void for_each_block(size_t total, Body&& body) {
  size_t first = 0;
  for (; first + kBlock <= total; first += kBlock) body(first, std::integral_constant<size_t, kBlock>());
  for (; first < total; ++first) body(first, std::integral_constant<size_t, 1>());
}

// Rows [i, i + R) times columns [j, j + K) of q.
template <size_t R, size_t K>
void times_block(Matrix m, const float* q, size_t i, size_t j, float* p) {
  const Floats d;
  Vec sums[R][K][kVectors];
  for (size_t r = 0; r < R; ++r) {
    for (size_t k = 0; k < K; ++k) {
      for (size_t v = 0; v < kVectors; ++v) sums[r][k][v] = hn::Zero(d);
    }
  }
  const float* rows = m.at + i * m.cols;
  const float* columns = q + j * m.cols;
  const size_t whole = m.cols / kLanes * kLanes;
  for (size_t c = 0; c < whole; c += kLanes) {
    for (size_t v = 0; v < kVectors; ++v) {
      Vec a[R];
      for (size_t r = 0; r < R; ++r) a[r] = hn::LoadU(d, rows + r * m.cols + c + v * kWidth);
      for (size_t k = 0; k < K; ++k) {
        const Vec b = hn::LoadU(d, columns + k * m.cols + c + v * kWidth);
        for (size_t r = 0; r < R; ++r) sums[r][k][v] = hn::Add(sums[r][k][v], hn::Mul(a[r], b));
      }
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t k = 0; k < K; ++k) {
      HWY_ALIGN float lanes[kLanes];
      for (size_t v = 0; v < kVectors; ++v) hn::Store(sums[r][k][v], d, lanes + v * kWidth);
      for (size_t c = whole; c < m.cols; ++c) lanes[c - whole] += rows[r * m.cols + c] * columns[k * m.cols + c];
      p[(j + k) * m.rows + i + r] = sum_of_lanes(lanes);
    }
  }
}

void Times(Matrix m, const float* q, size_t rank, float* p) {
  for_each_block(m.rows, [&](size_t i, auto rows) {
    for_each_block(rank, [&](size_t j, auto columns) { times_block<rows(), columns()>(m, q, i, j, p); });
  });
}

// Adds what rows [i, i + R) contribute to columns [j, j + K) of q.
template <size_t R, size_t K>
void transposed_times_block(Matrix m, const float* p, size_t i, size_t j, float* q) {
  const Floats d;
  const float* rows = m.at + i * m.cols;
  float* columns = q + j * m.cols;
  float factors[R][K];
  Vec wide[R][K];
  for (size_t r = 0; r < R; ++r) {
    for (size_t k = 0; k < K; ++k) {
      factors[r][k] = p[(j + k) * m.rows + i + r];
      wide[r][k] = hn::Set(d, factors[r][k]);
    }
  }
  const size_t whole = m.cols / kWidth * kWidth;
  for (size_t c = 0; c < whole; c += kWidth) {
    Vec sums[K];
    for (size_t k = 0; k < K; ++k) sums[k] = hn::LoadU(d, columns + k * m.cols + c);
    for (size_t r = 0; r < R; ++r) {
      const Vec a = hn::LoadU(d, rows + r * m.cols + c);
      for (size_t k = 0; k < K; ++k) sums[k] = hn::Add(sums[k], hn::Mul(a, wide[r][k]));
    }
    for (size_t k = 0; k < K; ++k) hn::StoreU(sums[k], d, columns + k * m.cols + c);
  }
  for (size_t c = whole; c < m.cols; ++c) {
    for (size_t r = 0; r < R; ++r) {
      for (size_t k = 0; k < K; ++k) columns[k * m.cols + c] += rows[r * m.cols + c] * factors[r][k];
    }
  }
}

void TransposedTimes(Matrix m, const float* p, size_t rank, float* q) {
  std::fill(q, q + rank * m.cols, 0.0f);
  for_each_block(m.rows, [&](size_t i, auto rows) {
    for_each_block(rank, [&](size_t j, auto columns) { transposed_times_block<rows(), columns()>(m, p, i, j, q); });
  });
}

// Rows [i, i + R) of out.
template <size_t R>
void add_product_block(const Product& product, float weight, size_t rows, size_t cols, size_t i, float* out) {
  const Floats d;
  constexpr float kLargest = std::numeric_limits<float>::max();
  const Vec scale = hn::Set(d, product.scale), wide_weight = hn::Set(d, weight);
  const Vec most = hn::Set(d, kLargest), least = hn::Set(d, -kLargest);
  float factors[kMostRank][R];
  for (size_t j = 0; j < product.rank; ++j) {
    for (size_t r = 0; r < R; ++r) factors[j][r] = product.p_scale * product.p[j * rows + i + r];
  }
  float* block = out + i * cols;
  const size_t whole = cols / kWidth * kWidth;
  for (size_t c = 0; c < whole; c += kWidth) {
    Vec sums[R];
    for (size_t r = 0; r < R; ++r) sums[r] = hn::Zero(d);
    for (size_t j = 0; j < product.rank; ++j) {
      const Vec b = hn::LoadU(d, product.q + j * cols + c);
      for (size_t r = 0; r < R; ++r) sums[r] = hn::Add(sums[r], hn::Mul(hn::Set(d, factors[j][r]), b));
    }
    for (size_t r = 0; r < R; ++r) {
      const Vec value = hn::Min(hn::Max(hn::Mul(scale, sums[r]), least), most);
      hn::StoreU(hn::Add(hn::LoadU(d, block + r * cols + c), hn::Mul(wide_weight, value)), d, block + r * cols + c);
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t c = whole; c < cols; ++c) {
      float sum = 0;
      for (size_t j = 0; j < product.rank; ++j) sum += factors[j][r] * product.q[j * cols + c];
      block[r * cols + c] += weight * std::clamp(product.scale * sum, -kLargest, kLargest);
    }
  }
}

void AddProduct(const Product& product, float weight, size_t rows, size_t cols, float* out) {
  for_each_block(rows, [&](size_t i, auto count) { add_product_block<count()>(product, weight, rows, cols, i, out); });
}

}  // namespace thinwire::compressors::lowrank::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::lowrank {

HWY_EXPORT(Times);
HWY_EXPORT(TransposedTimes);
HWY_EXPORT(AddProduct);

void times(Matrix m, const float* q, size_t rank, float* p) { HWY_DYNAMIC_DISPATCH(Times)(m, q, rank, p); }
void transposed_times(Matrix m, const float* p, size_t rank, float* q) { HWY_DYNAMIC_DISPATCH(TransposedTimes)(m, p, rank, q); }
void add_product(const Product& product, float weight, size_t rows, size_t cols, float* out) {
  HWY_DYNAMIC_DISPATCH(AddProduct)(product, weight, rows, cols, out);
}

}  // namespace thinwire::compressors::lowrank
#endif

#include "models/fused/attention_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/fused/attention_kernels.cc"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "models/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace thinwire::models::fused::HWY_NAMESPACE {

constexpr size_t kTileRows = 6;    // with two vectors, as many sums as AVX2 has registers for
constexpr size_t kBlockRows = 24;  // queries at a time

// c (m, n) += or = a b: element (i, p) of a is a[i * a_row + p * a_inner], rows of b and c are b_row and c_row floats apart.
struct Product {
  size_t m, n, inner;
  const float* a;
  size_t a_row, a_inner;
  const float* b;
  size_t b_row;
  float* c;
  size_t c_row;
};
enum class Into { fresh, sum };

template <class D, size_t R, size_t V>
HWY_INLINE void tile(const Product& p, Into into, size_t i, size_t j) {
  const D d;
  constexpr size_t kStep = hn::MaxLanes(D());
  hn::Vec<D> sums[R][V];
  float* c = p.c + i * p.c_row + j;
  for (size_t r = 0; r < R; ++r) {
    for (size_t v = 0; v < V; ++v) sums[r][v] = into == Into::sum ? hn::LoadU(d, c + r * p.c_row + v * kStep) : hn::Zero(d);
  }
  const float *a = p.a + i * p.a_row, *b = p.b + j;
  for (size_t inner = 0; inner < p.inner; ++inner, a += p.a_inner, b += p.b_row) {
    hn::Vec<D> row[V];
    for (size_t v = 0; v < V; ++v) row[v] = hn::LoadU(d, b + v * kStep);
    for (size_t r = 0; r < R; ++r) {
      const auto factor = hn::Set(d, a[r * p.a_row]);
      for (size_t v = 0; v < V; ++v) sums[r][v] = hn::MulAdd(factor, row[v], sums[r][v]);
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t v = 0; v < V; ++v) hn::StoreU(sums[r][v], d, c + r * p.c_row + v * kStep);
  }
}

template <class D, size_t R, size_t V>
HWY_INLINE size_t tiles(const Product& p, Into into, size_t i, size_t j) {
  for (; i + R <= p.m; i += R) tile<D, R, V>(p, into, i, j);
  return i;
}

// All rows of V vectors of columns: what is read of b stays in the first-level cache meanwhile.
template <class D, size_t V>
void panel(const Product& p, Into into, size_t j) {
  const size_t sixes = tiles<D, kTileRows, V>(p, into, 0, j), fours = tiles<D, 4, V>(p, into, sixes, j);
  tiles<D, 1, V>(p, into, fours, j);
}

void multiply(const Product& p, Into into) {
  size_t j = 0;
  for (; j + 2 * kWidth <= p.n; j += 2 * kWidth) panel<Floats, 2>(p, into, j);
  for (; j + kWidth <= p.n; j += kWidth) panel<Floats, 1>(p, into, j);
  for (; j < p.n; ++j) panel<hn::CappedTag<float, 1>, 1>(p, into, j);
}

// Rows of a float for each token. Rows are a little longer than a power of two, so that a column does not fall into one set of a cache.
class Scratch {
 public:
  Scratch(size_t rows, size_t tokens)
      : stride_((tokens + kLanes - 1) / kLanes * kLanes + kLanes), memory_(hwy::AllocateAligned<float>(rows * stride_)) {}
  float* row(size_t i) { return memory_.get() + i * stride_; }
  size_t stride() const { return stride_; }

 private:
  size_t stride_;
  hwy::AlignedFreeUniquePtr<float[]> memory_;
};

// (tokens, width) -> (width, tokens), times a factor. A line of a cache at a time: to write to each row in turn waits for memory.
Scratch transposed(const Head& head, Rows<const float> x, float factor) {
  Scratch columns(head.width, head.tokens);
  for (size_t first = 0; first < head.tokens; first += kLanes) {
    const size_t end = std::min(first + kLanes, head.tokens);
    for (size_t c = 0; c < head.width; ++c) {
      float* row = columns.row(c);
      for (size_t token = first; token < end; ++token) row[token] = factor * x.at[token * x.stride + c];
    }
  }
  return columns;
}

// Rows begin to end of x (tokens, width) times the first `end` of columns (width, tokens).
void against_keys(const Head& head, size_t begin, size_t end, Rows<const float> x, Scratch& columns, Scratch& a) {
  multiply({end - begin, end, head.width, x.at + begin * x.stride, x.stride, 1, columns.row(0), columns.stride(), a.row(0), a.stride()},
           Into::fresh);
}

// s[0, count) = e^(s - shift); returns the sum. count is a multiple of kLanes.
HWY_INLINE float exponentials(size_t count, float shift, float* s) {
  const Floats d;
  const Vec shifts = hn::Set(d, shift);
  const auto vector_at = [&](size_t c) {
    const Vec e = exp_of_nonpositive(hn::Sub(hn::LoadU(d, s + c), shifts));
    hn::StoreU(e, d, s + c);
    return e;
  };
  return lane_sum(count, vector_at, [](size_t) { return 0.0f; });
}

// Hides the keys after position i, up to the end of the last vector; returns how many columns that makes.
HWY_INLINE size_t mask(size_t i, size_t end, float* s) {
  const size_t count = (end + kLanes - 1) / kLanes * kLanes;
  std::fill(s + i + 1, s + count, -std::numeric_limits<float>::infinity());
  return count;
}

void Attend(const Head& head, Rows<float> out, float* log_total) {
  Scratch keys = transposed(head, head.k, head.scale);
  Scratch weights(kBlockRows, head.tokens);
  for (size_t begin = 0; begin < head.tokens; begin += kBlockRows) {
    const size_t end = std::min(begin + kBlockRows, head.tokens);
    against_keys(head, begin, end, head.q, keys, weights);
    float totals[kBlockRows];
    for (size_t i = begin; i < end; ++i) {
      float* row = weights.row(i - begin);
      const size_t count = mask(i, end, row);
      const float largest = largest_of(count, row);
      totals[i - begin] = exponentials(count, largest, row);
      log_total[i] = largest + std::log(totals[i - begin]);
    }
    multiply({end - begin, head.width, end, weights.row(0), weights.stride(), 1, head.v.at, head.v.stride, out.at + begin * out.stride,
              out.stride},
             Into::fresh);
    for (size_t i = begin; i < end; ++i) {
      const float share = 1.0f / totals[i - begin];
      for (size_t c = 0; c < head.width; ++c) out.at[i * out.stride + c] *= share;
    }
  }
}

// slope[0, count) = weights (slope - mean) scale: back through the softmax. mean: of the slopes, weighted.
HWY_INLINE void through_softmax(size_t count, const float* weights, float mean, float scale, float* slope) {
  const Floats d;
  const Vec means = hn::Set(d, mean), scales = hn::Set(d, scale);
  for (size_t c = 0; c < count; c += kWidth) {
    const Vec centred = hn::Sub(hn::LoadU(d, slope + c), means);
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, weights + c), centred), scales), d, slope + c);
  }
}

HWY_INLINE float dot(size_t count, const float* x, const float* y) {
  const Floats d;
  return lane_sum(
      count, [&](size_t c) { return hn::Mul(hn::LoadU(d, x + c), hn::LoadU(d, y + c)); }, [&](size_t c) { return x[c] * y[c]; });
}

void AttendBackward(const Head& head, const HeadBackward& back) {
  Scratch keys = transposed(head, head.k, head.scale), values = transposed(head, head.v, 1);
  Scratch weights(kBlockRows, head.tokens), slopes(kBlockRows, head.tokens);
  for (size_t begin = 0; begin < head.tokens; begin += kBlockRows) {
    const size_t end = std::min(begin + kBlockRows, head.tokens), rows = end - begin;
    against_keys(head, begin, end, head.q, keys, weights);
    against_keys(head, begin, end, back.dout, values, slopes);
    for (size_t i = begin; i < end; ++i) {
      float *row = weights.row(i - begin), *slope = slopes.row(i - begin);
      const size_t count = mask(i, end, row);
      exponentials(count, back.log_total[i], row);
      const float mean = dot(head.width, back.dout.at + i * back.dout.stride, back.out.at + i * back.out.stride);
      through_softmax(count, row, mean, head.scale, slope);
    }
    // dv += weights^T dout, dk += slopes^T q, dq = slopes k
    multiply({end, head.width, rows, weights.row(0), 1, weights.stride(), back.dout.at + begin * back.dout.stride, back.dout.stride,
              back.dv.at, back.dv.stride},
             Into::sum);
    multiply({end, head.width, rows, slopes.row(0), 1, slopes.stride(), head.q.at + begin * head.q.stride, head.q.stride, back.dk.at,
              back.dk.stride},
             Into::sum);
    multiply({rows, head.width, end, slopes.row(0), slopes.stride(), 1, head.k.at, head.k.stride, back.dq.at + begin * back.dq.stride,
              back.dq.stride},
             Into::fresh);
  }
}

}  // namespace thinwire::models::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::models::fused {

HWY_EXPORT(Attend);
HWY_EXPORT(AttendBackward);

void attend(const Head& head, Rows<float> out, float* log_total) { HWY_DYNAMIC_DISPATCH(Attend)(head, out, log_total); }
void attend_backward(const Head& head, const HeadBackward& back) { HWY_DYNAMIC_DISPATCH(AttendBackward)(head, back); }

}  // namespace thinwire::models::fused
#endif

// What the fused kernels share, once for each SIMD target (Highway includes this file several times: its guard toggles).
#if defined(THINWIRE_MODELS_FUSED_VECTORS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef THINWIRE_MODELS_FUSED_VECTORS_INL_H
#undef THINWIRE_MODELS_FUSED_VECTORS_INL_H
#else
#define THINWIRE_MODELS_FUSED_VECTORS_INL_H
#endif

#include <hwy/highway.h>

#include "models/fused/reference.h"

HWY_BEFORE_NAMESPACE();
namespace thinwire::models::fused::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kLanes>;
using Vec = hn::Vec<Floats>;

constexpr size_t kWidth = hn::MaxLanes(Floats());
constexpr size_t kVectors = kLanes / kWidth;  // that make up the lanes of a sum

HWY_INLINE size_t whole_vectors(size_t count) { return count / kWidth * kWidth; }

// vector_at(c) is the terms of columns c to c + kWidth, at(c) that of column c.
template <class VectorAt, class At>
HWY_INLINE float lane_sum(size_t cols, VectorAt&& vector_at, At&& at) {
  const Floats d;
  Vec sums[kVectors];
  for (size_t v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  const size_t whole = cols / kLanes * kLanes;
  for (size_t c = 0; c < whole; c += kLanes) {
    for (size_t v = 0; v < kVectors; ++v) sums[v] = hn::Add(sums[v], vector_at(c + v * kWidth));
  }
  HWY_ALIGN float lanes[kLanes];
  for (size_t v = 0; v < kVectors; ++v) hn::Store(sums[v], d, lanes + v * kWidth);
  for (size_t c = whole; c < cols; ++c) lanes[c - whole] += at(c);
  return sum_of_lanes(lanes);
}

HWY_INLINE float largest_of(size_t count, const float* x) {
  const Floats d;
  float largest = x[0];
  const size_t whole = whole_vectors(count);
  if (whole > 0) {
    Vec most = hn::LoadU(d, x);
    for (size_t c = kWidth; c < whole; c += kWidth) {
      const Vec value = hn::LoadU(d, x + c);
      most = hn::IfThenElse(hn::Gt(value, most), value, most);
    }
    HWY_ALIGN float lanes[kWidth];
    hn::Store(most, d, lanes);
    for (const float value : lanes) largest = value > largest ? value : largest;
  }
  for (size_t c = whole; c < count; ++c) largest = x[c] > largest ? x[c] : largest;
  return largest;
}

HWY_INLINE Vec exp_of_nonpositive(Vec x) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> bits;
  const auto set = [&](float value) { return hn::Set(d, value); };
  const Vec shifted = hn::Add(hn::Mul(x, set(1.44269504f)), set(12582912.0f)), n = hn::Sub(shifted, set(12582912.0f));
  const Vec r = hn::Sub(hn::Sub(x, hn::Mul(n, set(0.693359375f))), hn::Mul(n, set(-2.12194440e-4f)));
  Vec sum = set(1.0f / 5040);
  for (const float term : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) sum = hn::Add(hn::Mul(sum, r), set(term));
  const auto power = hn::Add(hn::ShiftLeft<23>(hn::BitCast(bits, shifted)), hn::Set(bits, 0x3f800000u));
  return hn::IfThenZeroElse(hn::Lt(x, set(-87.33f)), hn::Mul(sum, hn::BitCast(d, power)));
}

}  // namespace thinwire::models::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

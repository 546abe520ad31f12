#include "compressors/dense_kernels.h"

#include <cmath>

#include "compressors/lane_sum.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/dense_kernels.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::dense_kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Ints = hn::RebindToSigned<Floats>;

// The sum, a vector or an element at a time.
class Sum {
 public:
  Sum(const In& in, size_t begin)
      : x_(in.x + begin),
        residual_(in.residual == nullptr ? nullptr : in.residual + begin),
        factors_(in),
        scale_(hn::Set(Floats(), in.scale)),
        decay_(hn::Set(Floats(), in.decay)) {}

  template <bool kHasResidual>
  hn::Vec<Floats> vector_at(size_t i) const {
    const auto fresh = hn::Mul(scale_, hn::LoadU(Floats(), x_ + i));
    if constexpr (!kHasResidual) return fresh;
    return hn::Add(hn::Mul(decay_, hn::LoadU(Floats(), residual_ + i)), fresh);
  }
  float at(size_t i) const {
    const float fresh = factors_.scale * x_[i];
    if (residual_ == nullptr) return fresh;
    const float kept = factors_.decay * residual_[i];
    return kept + fresh;
  }
  // What comes later, so that reading memory goes on through loops that compute. 256 elements ahead, by measurement: the hardware stops at
  // the end of a page.
  template <bool kHasResidual>
  void prefetch_after(size_t i) const {
    constexpr size_t kAheadElems = 256;
    hwy::Prefetch(x_ + i + kAheadElems);
    if constexpr (kHasResidual) hwy::Prefetch(residual_ + i + kAheadElems);
  }

 private:
  const float* x_;
  const float* residual_;
  In factors_;
  hn::Vec<Floats> scale_, decay_;
};

template <bool kHasResidual>
void accumulate_with(const Sum& sum, std::span<float> a) {
  const size_t lanes = hn::Lanes(Floats()), whole = a.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    sum.prefetch_after<kHasResidual>(i);
    hn::StoreU(sum.vector_at<kHasResidual>(i), Floats(), a.data() + i);
  }
  for (size_t i = whole; i < a.size(); ++i) a[i] = sum.at(i);
}

void Accumulate(const In& in, size_t begin, std::span<float> a) {
  const Sum sum(in, begin);
  return in.residual == nullptr ? accumulate_with<false>(sum, a) : accumulate_with<true>(sum, a);
}

// Without their sign, the bits of floats order like the floats, infinity and NaN last.
template <bool kHasResidual>
bool all_finite_with(const Sum& sum, size_t count) {
  const size_t lanes = hn::Lanes(Floats()), whole = count / (2 * lanes) * (2 * lanes);
  auto even = hn::Zero(Ints()), odd = even;
  for (size_t i = 0; i < whole; i += 2 * lanes) {
    sum.prefetch_after<kHasResidual>(i);
    sum.prefetch_after<kHasResidual>(i + lanes);
    even = hn::Max(even, hn::BitCast(Ints(), hn::Abs(sum.vector_at<kHasResidual>(i))));
    odd = hn::Max(odd, hn::BitCast(Ints(), hn::Abs(sum.vector_at<kHasResidual>(i + lanes))));
  }
  bool finite = hn::AllTrue(Ints(), hn::Lt(hn::Max(even, odd), hn::Set(Ints(), 0x7f800000)));
  for (size_t i = whole; i < count; ++i) finite = finite && std::isfinite(sum.at(i));
  return finite;
}

bool AllFinite(const In& in, size_t begin, size_t count) {
  const Sum sum(in, begin);
  return in.residual == nullptr ? all_finite_with<false>(sum, count) : all_finite_with<true>(sum, count);
}

// 16 partial sums in four vectors of four.
double SquareSum(std::span<const float> a) {
  const hn::CappedTag<double, 4> d;
  const hn::Rebind<float, decltype(d)> narrow;
  if (hn::Lanes(d) != 4) return compressors::square_sum(a);
  LaneSum sum;
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const auto square = [&](size_t i) {
    const auto value = hn::PromoteTo(d, hn::LoadU(narrow, a.data() + i));
    return hn::Mul(value, value);
  };
  const size_t whole = a.size() / LaneSum::kLanes * LaneSum::kLanes;
  for (size_t i = 0; i < whole; i += LaneSum::kLanes) {
    s0 = hn::Add(s0, square(i));
    s1 = hn::Add(s1, square(i + 4));
    s2 = hn::Add(s2, square(i + 8));
    s3 = hn::Add(s3, square(i + 12));
  }
  hn::StoreU(s0, d, sum.partial.data());
  hn::StoreU(s1, d, sum.partial.data() + 4);
  hn::StoreU(s2, d, sum.partial.data() + 8);
  hn::StoreU(s3, d, sum.partial.data() + 12);
  for (size_t i = whole; i < a.size(); ++i) sum.add(i, static_cast<double>(a[i]) * a[i]);
  return sum.total();
}

}  // namespace thinwire::compressors::dense_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::dense_kernels {

HWY_EXPORT(Accumulate);
HWY_EXPORT(AllFinite);
HWY_EXPORT(SquareSum);

void accumulate(const In& in, size_t begin, std::span<float> a) { HWY_DYNAMIC_DISPATCH(Accumulate)(in, begin, a); }
bool all_finite(const In& in, size_t begin, size_t count) { return HWY_DYNAMIC_DISPATCH(AllFinite)(in, begin, count); }
double square_sum(std::span<const float> a) { return HWY_DYNAMIC_DISPATCH(SquareSum)(a); }

}  // namespace thinwire::compressors::dense_kernels
#endif

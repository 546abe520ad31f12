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
        factors_(in) {}

  template <class D>
  hn::Vec<D> fresh_at(D d, size_t i) const {
    return hn::Mul(hn::Set(d, factors_.scale), hn::LoadU(d, x_ + i));
  }
  template <bool kHasResidual, class D>
  hn::Vec<D> with_residual(D d, size_t i, hn::Vec<D> fresh) const {
    if constexpr (!kHasResidual) return fresh;
    return hn::Add(hn::Mul(hn::Set(d, factors_.decay), hn::LoadU(d, residual_ + i)), fresh);
  }
  template <bool kHasResidual>
  hn::Vec<Floats> vector_at(size_t i) const {
    return with_residual<kHasResidual>(Floats(), i, fresh_at(Floats(), i));
  }
  float fresh_at(size_t i) const { return factors_.scale * x_[i]; }
  float at(size_t i) const {
    const float fresh = fresh_at(i);
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

// Squares of a vector of four at a time, in 16 partial sums.
using Doubles = hn::CappedTag<double, 4>;
using Narrow = hn::Rebind<float, Doubles>;
constexpr bool kAddsByFour = hn::MaxLanes(Doubles()) == 4 && !HWY_HAVE_SCALABLE;

class PartialSums {
 public:
  PartialSums() : s0_(hn::Zero(Doubles())), s1_(s0_), s2_(s0_), s3_(s0_) {}

  void add(hn::Vec<Narrow> v0, hn::Vec<Narrow> v1, hn::Vec<Narrow> v2, hn::Vec<Narrow> v3) {
    s0_ = hn::Add(s0_, square(v0));
    s1_ = hn::Add(s1_, square(v1));
    s2_ = hn::Add(s2_, square(v2));
    s3_ = hn::Add(s3_, square(v3));
  }
  LaneSum lanes() const {
    LaneSum sum;
    hn::StoreU(s0_, Doubles(), sum.partial.data());
    hn::StoreU(s1_, Doubles(), sum.partial.data() + 4);
    hn::StoreU(s2_, Doubles(), sum.partial.data() + 8);
    hn::StoreU(s3_, Doubles(), sum.partial.data() + 12);
    return sum;
  }

 private:
  static hn::Vec<Doubles> square(hn::Vec<Narrow> v) {
    const auto value = hn::PromoteTo(Doubles(), v);
    return hn::Mul(value, value);
  }
  hn::Vec<Doubles> s0_, s1_, s2_, s3_;
};

double SquareSum(std::span<const float> a) {
  if constexpr (!kAddsByFour) return compressors::square_sum(a);
  PartialSums sums;
  const size_t whole = a.size() / LaneSum::kLanes * LaneSum::kLanes;
  const auto load = [&](size_t i) { return hn::LoadU(Narrow(), a.data() + i); };
  for (size_t i = 0; i < whole; i += LaneSum::kLanes) sums.add(load(i), load(i + 4), load(i + 8), load(i + 12));
  LaneSum sum = sums.lanes();
  for (size_t i = whole; i < a.size(); ++i) sum.add(i, static_cast<double>(a[i]) * a[i]);
  return sum.total();
}

template <bool kHasResidual>
SquareSums square_sums_with(const Sum& sum, size_t count) {
  PartialSums fresh_sums, whole_sums;
  const size_t whole = kAddsByFour ? count / LaneSum::kLanes * LaneSum::kLanes : 0;
  const Narrow d;
  for (size_t i = 0; i < whole; i += LaneSum::kLanes) {
    sum.prefetch_after<kHasResidual>(i);
    const auto f0 = sum.fresh_at(d, i), f1 = sum.fresh_at(d, i + 4), f2 = sum.fresh_at(d, i + 8), f3 = sum.fresh_at(d, i + 12);
    fresh_sums.add(f0, f1, f2, f3);
    if constexpr (kHasResidual) {
      whole_sums.add(sum.with_residual<true>(d, i, f0), sum.with_residual<true>(d, i + 4, f1), sum.with_residual<true>(d, i + 8, f2),
                     sum.with_residual<true>(d, i + 12, f3));
    }
  }
  LaneSum fresh = fresh_sums.lanes(), all = whole_sums.lanes();
  for (size_t i = whole; i < count; ++i) {
    const double f = sum.fresh_at(i), a = sum.at(i);
    fresh.add(i, f * f);
    if constexpr (kHasResidual) all.add(i, a * a);
  }
  return {fresh.total(), kHasResidual ? all.total() : fresh.total()};
}

SquareSums SquareSumsOf(const In& in, size_t begin, size_t count) {
  const Sum sum(in, begin);
  return in.residual == nullptr ? square_sums_with<false>(sum, count) : square_sums_with<true>(sum, count);
}

}  // namespace thinwire::compressors::dense_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::dense_kernels {

HWY_EXPORT(Accumulate);
HWY_EXPORT(AllFinite);
HWY_EXPORT(SquareSum);
HWY_EXPORT(SquareSumsOf);

void accumulate(const In& in, size_t begin, std::span<float> a) { HWY_DYNAMIC_DISPATCH(Accumulate)(in, begin, a); }
bool all_finite(const In& in, size_t begin, size_t count) { return HWY_DYNAMIC_DISPATCH(AllFinite)(in, begin, count); }
double square_sum(std::span<const float> a) { return HWY_DYNAMIC_DISPATCH(SquareSum)(a); }
SquareSums square_sums(const In& in, size_t begin, size_t count) { return HWY_DYNAMIC_DISPATCH(SquareSumsOf)(in, begin, count); }

}  // namespace thinwire::compressors::dense_kernels
#endif

#include "compressors/sign/kernels.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "compressors/lane_sum.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/sign/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::sign_kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace reference = sign_reference;

using Floats = hn::ScalableTag<float>;
using Ints = hn::ScalableTag<int32_t>;

// Vectors of less than 8 lanes would share bytes of bits: those targets (SSE2) leave the bits to the reference.
bool fills_bytes() { return hn::Lanes(Floats()) % 8 == 0; }
size_t whole_vectors(size_t elems) { return fills_bytes() ? elems / hn::Lanes(Floats()) * hn::Lanes(Floats()) : 0; }

size_t zeros_among(std::span<const float> a) {
  const size_t lanes = hn::Lanes(Floats()), whole = a.size() / lanes * lanes;
  auto found = hn::Zero(Ints());  // less one for each zero
  for (size_t i = 0; i < whole; i += lanes) {
    const auto is_zero = hn::Eq(hn::LoadU(Floats(), a.data() + i), hn::Zero(Floats()));
    found = hn::Add(found, hn::BitCast(Ints(), hn::VecFromMask(Floats(), is_zero)));
  }
  size_t count = static_cast<size_t>(-hn::GetLane(hn::SumOfLanes(Ints(), found)));
  for (size_t i = whole; i < a.size(); ++i) count += a[i] == 0 ? 1 : 0;
  return count;
}

// 16 partial sums in four vectors of four.
Magnitudes MagnitudesOf(std::span<const float> a) {
  const hn::CappedTag<double, 4> d;
  const hn::Rebind<float, decltype(d)> narrow;
  if (hn::Lanes(d) != 4) return reference::magnitudes_of(a);
  LaneSum sum;
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const auto magnitude = [&](size_t i) { return hn::PromoteTo(d, hn::Abs(hn::LoadU(narrow, a.data() + i))); };
  const size_t whole = a.size() / LaneSum::kLanes * LaneSum::kLanes;
  for (size_t i = 0; i < whole; i += LaneSum::kLanes) {
    s0 = hn::Add(s0, magnitude(i));
    s1 = hn::Add(s1, magnitude(i + 4));
    s2 = hn::Add(s2, magnitude(i + 8));
    s3 = hn::Add(s3, magnitude(i + 12));
  }
  hn::StoreU(s0, d, sum.partial.data());
  hn::StoreU(s1, d, sum.partial.data() + 4);
  hn::StoreU(s2, d, sum.partial.data() + 8);
  hn::StoreU(s3, d, sum.partial.data() + 12);
  for (size_t i = whole; i < a.size(); ++i) sum.add(i, std::fabs(a[i]));
  return {.sum = sum.total(), .nonzero = a.size() - zeros_among(a)};
}

// Highway reads and writes up to 8 bytes for a mask.
void store_bits(hn::Mask<Floats> mask, std::byte* out) {
  uint8_t bytes[8];
  hn::StoreMaskBits(Floats(), mask, bytes);
  std::memcpy(out, bytes, hn::Lanes(Floats()) / 8);
}
hn::Mask<Floats> load_bits(const std::byte* bits) {
  uint8_t bytes[8] = {};
  std::memcpy(bytes, bits, hn::Lanes(Floats()) / 8);
  return hn::LoadMaskBits(Floats(), bytes);
}

void ZeroBits(std::span<const float> a, std::byte* zeros) {
  const size_t whole = whole_vectors(a.size());
  for (size_t i = 0; i < whole; i += hn::Lanes(Floats())) {
    store_bits(hn::Eq(hn::LoadU(Floats(), a.data() + i), hn::Zero(Floats())), zeros + i / 8);
  }
  reference::zero_bits(a.subspan(whole), zeros + whole / 8);
}

void SignBits(float scale, std::span<float> a, std::byte* signs) {
  const Floats d;
  const size_t whole = whole_vectors(a.size());
  const auto plus = hn::Set(d, scale), minus = hn::Neg(plus), zero = hn::Zero(d);
  for (size_t i = 0; i < whole; i += hn::Lanes(d)) {
    const auto values = hn::LoadU(d, a.data() + i);
    const auto below = hn::Lt(values, zero);
    store_bits(below, signs + i / 8);
    const auto sent = hn::IfThenZeroElse(hn::Eq(values, zero), hn::IfThenElse(below, minus, plus));
    hn::StoreU(hn::Sub(values, sent), d, a.data() + i);
  }
  reference::sign_bits(scale, a.subspan(whole), signs + whole / 8);
}

void AddValues(float scale, const std::byte* signs, const std::byte* zeros, float weight, std::span<float> out) {
  const Floats d;
  const size_t whole = whole_vectors(out.size());
  const auto plus = hn::Set(d, weight * scale), minus = hn::Neg(plus), none = hn::Set(d, weight * 0.0f);
  for (size_t i = 0; i < whole; i += hn::Lanes(d)) {
    auto product = hn::IfThenElse(load_bits(signs + i / 8), minus, plus);
    if (zeros != nullptr) product = hn::IfThenElse(load_bits(zeros + i / 8), none, product);
    hn::StoreU(hn::Add(hn::LoadU(d, out.data() + i), product), d, out.data() + i);
  }
  const size_t done = whole / 8;
  reference::add_values(scale, signs + done, zeros == nullptr ? nullptr : zeros + done, weight, out.subspan(whole));
}

}  // namespace thinwire::compressors::sign_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::sign_kernels {

HWY_EXPORT(MagnitudesOf);
HWY_EXPORT(ZeroBits);
HWY_EXPORT(SignBits);
HWY_EXPORT(AddValues);

Magnitudes magnitudes_of(std::span<const float> a) { return HWY_DYNAMIC_DISPATCH(MagnitudesOf)(a); }
void zero_bits(std::span<const float> a, std::byte* zeros) { HWY_DYNAMIC_DISPATCH(ZeroBits)(a, zeros); }
void sign_bits(float scale, std::span<float> a, std::byte* signs) { HWY_DYNAMIC_DISPATCH(SignBits)(scale, a, signs); }
void add_values(float scale, const std::byte* signs, const std::byte* zeros, float weight, std::span<float> out) {
  HWY_DYNAMIC_DISPATCH(AddValues)(scale, signs, zeros, weight, out);
}

}  // namespace thinwire::compressors::sign_kernels
#endif

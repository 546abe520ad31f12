#include "compressors/values/half_kernels.h"

#include <cmath>
#include <cstring>

#include "compressors/values/scaled_half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/values/half_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::half_kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kMostLanes = 16;
constexpr int32_t kMagnitudeBits = 0x7fffffff;
using Ints = hn::CappedTag<int32_t, kMostLanes>;
using Floats = hn::CappedTag<float, kMostLanes>;
using Vec = hn::Vec<Ints>;

// The value of halves: moved into place, the bits are those of a float that is 2^112 times too small, and subnormal where the half is.
hn::Vec<Floats> value_of(Vec halves, hn::Vec<Floats> scale) {
  const Floats d;
  const Ints di;
  const auto sign = hn::ShiftLeft<16>(hn::And(halves, hn::Set(di, 0x8000)));
  const auto magnitude = hn::BitCast(d, hn::ShiftLeft<13>(hn::And(halves, hn::Set(di, 0x7fff))));
  const auto unscaled = hn::Mul(magnitude, hn::Set(d, 0x1p112f));
  return hn::BitCast(d, hn::Or(sign, hn::BitCast(di, hn::Mul(unscaled, scale))));
}

// Nearest even, as to_f16() of base/dtype.h does it; |scaled| < 2^15.
Vec half_of(hn::Vec<Floats> scaled) {
  const Floats d;
  const Ints di;
  const Vec bits = hn::BitCast(di, scaled);
  const Vec sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 0x8000));
  const Vec m = hn::And(bits, hn::Set(di, kMagnitudeBits));
  const auto half = hn::Set(d, 0.5f);
  const Vec subnormal = hn::Sub(hn::BitCast(di, hn::Add(hn::BitCast(d, m), half)), hn::BitCast(di, half));
  const Vec odd = hn::And(hn::ShiftRight<13>(m), hn::Set(di, 1));
  const Vec rounded = hn::Add(m, hn::Add(hn::Set(di, 0xfff - 0x38000000), odd));
  const Vec normal = hn::ShiftRight<13>(rounded);
  const Vec magnitude = hn::IfThenElse(hn::Gt(hn::Set(di, 0x38800000), m), subnormal, normal);
  return hn::Or(sign, hn::Min(magnitude, hn::Set(di, ScaledHalf::kMostMagnitude)));
}

using Halves = hn::Rebind<uint16_t, Ints>;

// Payloads have no alignment: halves pass through lanes on the stack, which compilers turn into one load or store.
void store_halves(Vec halves, std::byte* out) {
  uint16_t lanes[kMostLanes];
  hn::StoreU(hn::DemoteTo(Halves(), halves), Halves(), lanes);
  std::memcpy(out, lanes, hn::Lanes(Halves()) * sizeof(uint16_t));
}
Vec load_halves(const std::byte* from) {
  uint16_t lanes[kMostLanes];
  std::memcpy(lanes, from, hn::Lanes(Halves()) * sizeof(uint16_t));
  return hn::PromoteTo(Ints(), hn::LoadU(Halves(), lanes));
}

// One vector of values to halves and errors. Two factors, as 2^-exponent may be 2^128, which no float is.
void encode_vector(float* values, float down, float down_too, float up, std::byte* out) {
  const Floats d;
  const auto value = hn::LoadU(d, values);
  const Vec halves = half_of(hn::Mul(hn::Mul(value, hn::Set(d, down)), hn::Set(d, down_too)));
  store_halves(halves, out);
  hn::StoreU(hn::Sub(value, value_of(halves, hn::Set(d, up))), d, values);
}

void EncodeHalves(std::span<float> values, int exponent, std::byte* out) {
  const size_t lanes = hn::Lanes(Floats()), whole = values.size() / lanes * lanes, rest = values.size() - whole;
  const float up = std::ldexp(1.0f, exponent);
  const float down = std::ldexp(1.0f, -(exponent / 2)), down_too = std::ldexp(1.0f, -(exponent - exponent / 2));
  for (size_t i = 0; i < whole; i += lanes) encode_vector(values.data() + i, down, down_too, up, out + 2 * i);
  if (rest == 0) return;
  float last[kMostLanes] = {};
  std::byte last_out[2 * kMostLanes];
  std::memcpy(last, values.data() + whole, rest * sizeof(float));
  encode_vector(last, down, down_too, up, last_out);
  std::memcpy(values.data() + whole, last, rest * sizeof(float));
  std::memcpy(out + 2 * whole, last_out, 2 * rest);
}

void decode_vector(const std::byte* halves, float up, float* values) {
  hn::StoreU(value_of(load_halves(halves), hn::Set(Floats(), up)), Floats(), values);
}

void DecodeHalves(const std::byte* halves, int exponent, std::span<float> values) {
  const size_t lanes = hn::Lanes(Floats()), whole = values.size() / lanes * lanes, rest = values.size() - whole;
  const float up = std::ldexp(1.0f, exponent);
  for (size_t i = 0; i < whole; i += lanes) decode_vector(halves + 2 * i, up, values.data() + i);
  if (rest == 0) return;
  std::byte last[2 * kMostLanes] = {};
  float last_values[kMostLanes];
  std::memcpy(last, halves + 2 * whole, 2 * rest);
  decode_vector(last, up, last_values);
  std::memcpy(values.data() + whole, last_values, rest * sizeof(float));
}

}  // namespace thinwire::compressors::half_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::half_kernels {

HWY_EXPORT(EncodeHalves);
HWY_EXPORT(DecodeHalves);

void encode(std::span<float> values, int exponent, std::byte* out) { HWY_DYNAMIC_DISPATCH(EncodeHalves)(values, exponent, out); }
void decode(const std::byte* halves, int exponent, std::span<float> values) {
  HWY_DYNAMIC_DISPATCH(DecodeHalves)(halves, exponent, values);
}

}  // namespace thinwire::compressors::half_kernels
#endif  // HWY_ONCE

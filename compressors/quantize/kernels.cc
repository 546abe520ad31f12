#include "compressors/quantize/kernels.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/quantize/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::quantize_kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace reference = quantize_reference;

using Doubles = hn::ScalableTag<double>;
using Floats = hn::Rebind<float, Doubles>;  // as many lanes as doubles
using Ints = hn::Rebind<int32_t, Doubles>;
using Bytes = hn::Rebind<uint8_t, Doubles>;
using Halves = hn::Rebind<uint16_t, Doubles>;

Ends EndsOf(std::span<const float> a) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  if (a.size() < lanes) return reference::ends_of(a);
  auto min = hn::LoadU(d, a.data()), max = min;
  const auto take = [&](size_t i) {
    const auto values = hn::LoadU(d, a.data() + i);
    min = hn::Min(min, values);
    max = hn::Max(max, values);
  };
  for (size_t i = lanes; i + lanes <= a.size(); i += lanes) take(i);
  take(a.size() - lanes);  // what is left, some of it once more
  return {.min = hn::GetLane(hn::MinOfLanes(d, min)) + 0.0f, .max = hn::GetLane(hn::MaxOfLanes(d, max)) + 0.0f};
}

// Grid in vectors.
struct Levels {
  explicit Levels(const Grid& grid)
      : low(hn::Set(Doubles(), grid.low)),
        zero(hn::Set(Doubles(), grid.zero)),
        unit(hn::Set(Doubles(), grid.unit)),
        per_unit(hn::Set(Doubles(), grid.per_unit)) {}

  hn::Vec<Ints> level(hn::Vec<Floats> a, hn::Vec<Doubles> dither) const {
    const auto steps = hn::Mul(hn::Sub(hn::PromoteTo(Doubles(), a), low), per_unit);
    return hn::DemoteTo(Ints(), hn::Add(steps, hn::Add(zero, dither)));
  }
  hn::Vec<Floats> value(hn::Vec<Ints> level) const {
    const auto steps = hn::Sub(hn::PromoteTo(Doubles(), level), zero);
    return hn::DemoteTo(Floats(), hn::Add(hn::Mul(steps, unit), low));
  }

  hn::Vec<Doubles> low, zero, unit, per_unit;
};

hn::Vec<Doubles> dither_at(const uint16_t* draws) {
  const Doubles d;
  const auto draw = hn::PromoteTo(d, hn::PromoteTo(Ints(), hn::LoadU(Halves(), draws)));
  return hn::Mul(hn::Add(draw, hn::Set(d, 0.5)), hn::Set(d, 0x1p-16));
}

// left_of() of guards.h.
template <class D>
void store_left(D d, hn::Vec<D> a, hn::Vec<D> value, float* left) {
  const auto largest = hn::Set(d, std::numeric_limits<float>::max());
  hn::StoreU(hn::Min(hn::Max(hn::Sub(a, value), hn::Neg(largest)), largest), d, left);
}

template <bool kKeeps, class Dither>
size_t quantize_by_values(const Grid& grid, std::span<const float> a, uint8_t* levels, float* left, const Dither& dither) {
  const Levels vectors(grid);
  const size_t lanes = hn::Lanes(Doubles()), whole = a.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    const auto values = hn::LoadU(Floats(), a.data() + i);
    const auto level = vectors.level(values, dither(i));
    hn::StoreU(hn::DemoteTo(Bytes(), level), Bytes(), levels + i);
    if constexpr (kKeeps) store_left(Floats(), values, vectors.value(level), left + i);
  }
  return whole;
}

void add_by_values(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out) {
  const Levels vectors(grid);
  const auto factor = hn::Set(Floats(), weight);
  const size_t lanes = hn::Lanes(Doubles()), whole = levels.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    const auto value = vectors.value(hn::PromoteTo(Ints(), hn::LoadU(Bytes(), levels.data() + i)));
    hn::StoreU(hn::Add(hn::LoadU(Floats(), out + i), hn::Mul(factor, value)), Floats(), out + i);
  }
  reference::add_values(grid, levels.subspan(whole), weight, out + whole);
}

#if HWY_TARGET <= HWY_AVX2  // targets are numbered from the best
// The values of up to 16 levels fit into a vector of AVX-512, or two of AVX2: they are worked out once and looked up.
constexpr int kTableLevels = 16;
constexpr size_t kWide = 2 * hn::MaxLanes(Doubles());  // as many values as two vectors of levels have
using WideFloats = hn::FixedTag<float, kWide>;
using WideInts = hn::FixedTag<int32_t, kWide>;
using WideBytes = hn::FixedTag<uint8_t, kWide>;

class Table {
 public:
  Table(const Levels& levels, float factor) : low_(values(levels, 0, factor)), high_(values(levels, kTableLevels - kWide, factor)) {}

  hn::Vec<WideFloats> look_up(hn::Vec<WideInts> level) const {
    const WideFloats d;
    if constexpr (kWide == kTableLevels) return hn::TableLookupLanes(low_, hn::IndicesFromVec(d, level));
    const auto last = hn::Set(WideInts(), static_cast<int32_t>(kWide) - 1);
    const auto index = hn::IndicesFromVec(d, hn::And(level, last));
    const auto is_high = hn::RebindMask(d, hn::Gt(level, last));
    return hn::IfThenElse(is_high, hn::TableLookupLanes(high_, index), hn::TableLookupLanes(low_, index));
  }

 private:
  static hn::Vec<WideFloats> values(const Levels& levels, size_t first, float factor) {
    constexpr size_t kHalf = kWide / 2;
    const auto from = [&](size_t level) { return levels.value(hn::Iota(Ints(), static_cast<int32_t>(level))); };
    return hn::Mul(hn::Combine(WideFloats(), from(first + kHalf), from(first)), hn::Set(WideFloats(), factor));
  }

  hn::Vec<WideFloats> low_, high_;
};

template <bool kKeeps, class Dither>
size_t quantize_by_table(const Grid& grid, std::span<const float> a, uint8_t* levels, float* left, const Dither& dither) {
  const Levels vectors(grid);
  const Table table(vectors, 1);
  constexpr size_t kHalf = kWide / 2;
  const size_t whole = a.size() / kWide * kWide;
  for (size_t i = 0; i < whole; i += kWide) {
    const auto values = hn::LoadU(WideFloats(), a.data() + i);
    const auto low = vectors.level(hn::LoadU(Floats(), a.data() + i), dither(i));
    const auto high = vectors.level(hn::LoadU(Floats(), a.data() + i + kHalf), dither(i + kHalf));
    const auto level = hn::Combine(WideInts(), high, low);
    hn::StoreU(hn::DemoteTo(WideBytes(), level), WideBytes(), levels + i);
    if constexpr (kKeeps) store_left(WideFloats(), values, table.look_up(level), left + i);
  }
  return whole;
}

void add_by_table(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out) {
  const Table products(Levels(grid), weight);
  const size_t whole = levels.size() / kWide * kWide;
  for (size_t i = 0; i < whole; i += kWide) {
    const auto level = hn::PromoteTo(WideInts(), hn::LoadU(WideBytes(), levels.data() + i));
    hn::StoreU(hn::Add(hn::LoadU(WideFloats(), out + i), products.look_up(level)), WideFloats(), out + i);
  }
  reference::add_values(grid, levels.subspan(whole), weight, out + whole);
}
#else
constexpr int kTableLevels = 0;
template <bool kKeeps, class Dither>
size_t quantize_by_table(const Grid&, std::span<const float>, uint8_t*, float*, const Dither&) {
  return 0;
}
void add_by_table(const Grid&, std::span<const uint8_t>, float, float*) {}
#endif

// Returns how many elements from the front are done.
template <bool kKeeps, class Dither>
size_t quantize_with(const Grid& grid, std::span<const float> a, uint8_t* levels, float* left, const Dither& dither) {
  return grid.count <= kTableLevels ? quantize_by_table<kKeeps>(grid, a, levels, left, dither)
                                    : quantize_by_values<kKeeps>(grid, a, levels, left, dither);
}
template <class Dither>
size_t quantize_with(const Grid& grid, std::span<const float> a, uint8_t* levels, float* left, const Dither& dither) {
  return left != nullptr ? quantize_with<true>(grid, a, levels, left, dither) : quantize_with<false>(grid, a, levels, left, dither);
}

struct Half {
  Half() : dither(hn::Set(Doubles(), 0.5)) {}
  hn::Vec<Doubles> operator()(size_t) const { return dither; }
  hn::Vec<Doubles> dither;
};
struct Drawn {
  hn::Vec<Doubles> operator()(size_t i) const { return dither_at(draws + i); }
  const uint16_t* draws;
};

void Quantize(const Grid& grid, std::span<const uint16_t> draws, std::span<const float> a, std::span<uint8_t> levels, float* left) {
  const size_t done = draws.empty() ? quantize_with(grid, a, levels.data(), left, Half())
                                    : quantize_with(grid, a, levels.data(), left, Drawn{draws.data()});
  reference::quantize(grid, draws.empty() ? draws : draws.subspan(done), a.subspan(done), levels.subspan(done),
                      left == nullptr ? nullptr : left + done);
}

void AddValues(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out) {
  return grid.count <= kTableLevels ? add_by_table(grid, levels, weight, out) : add_by_values(grid, levels, weight, out);
}

// A 16-bit lane of two levels in the low halves of its bytes, to one byte; and back.
#if HWY_TARGET == HWY_SCALAR  // nor lanes to take apart
void PackLevels4(std::span<const uint8_t> levels, std::byte* out) { pack_levels(levels, 4, out); }
bool UnpackLevels4(const std::byte* packed, std::span<uint8_t> levels) { return unpack_levels(packed, 4, levels); }
#else
using Pairs = hn::ScalableTag<uint16_t>;
using PairBytes = hn::Rebind<uint8_t, Pairs>;

void PackLevels4(std::span<const uint8_t> levels, std::byte* out) {
  const hn::Repartition<uint8_t, Pairs> d;
  const hn::RebindToSigned<Pairs> no_more_than_a_byte;
  const size_t lanes = 2 * hn::Lanes(Pairs()), whole = levels.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    const auto two = hn::BitCast(Pairs(), hn::LoadU(d, levels.data() + i));
    const auto joined = hn::And(hn::Or(two, hn::ShiftRight<4>(two)), hn::Set(Pairs(), 0xff));
    const auto packed = hn::DemoteTo(PairBytes(), hn::BitCast(no_more_than_a_byte, joined));
    hn::StoreU(packed, PairBytes(), reinterpret_cast<uint8_t*>(out + i / 2));
  }
  pack_levels(levels.subspan(whole), 4, out + whole / 2);
}

bool UnpackLevels4(const std::byte* packed, std::span<uint8_t> levels) {
  const hn::Repartition<uint8_t, Pairs> d;
  const size_t lanes = 2 * hn::Lanes(Pairs()), whole = levels.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    const auto two = hn::PromoteTo(Pairs(), hn::LoadU(PairBytes(), reinterpret_cast<const uint8_t*>(packed + i / 2)));
    const auto split = hn::And(hn::Or(two, hn::ShiftLeft<4>(two)), hn::Set(Pairs(), 0x0f0f));
    hn::StoreU(hn::BitCast(d, split), d, levels.data() + i);
  }
  return unpack_levels(packed + whole / 2, 4, levels.subspan(whole));
}
#endif

}  // namespace thinwire::compressors::quantize_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::quantize_kernels {

HWY_EXPORT(EndsOf);
HWY_EXPORT(Quantize);
HWY_EXPORT(AddValues);
HWY_EXPORT(PackLevels4);
HWY_EXPORT(UnpackLevels4);

Ends ends_of(std::span<const float> a) { return HWY_DYNAMIC_DISPATCH(EndsOf)(a); }
void quantize(const Grid& grid, std::span<const uint16_t> draws, std::span<const float> a, std::span<uint8_t> levels, float* left) {
  HWY_DYNAMIC_DISPATCH(Quantize)(grid, draws, a, levels, left);
}
void add_values(const Grid& grid, std::span<const uint8_t> levels, float weight, float* out) {
  HWY_DYNAMIC_DISPATCH(AddValues)(grid, levels, weight, out);
}
void pack_levels4(std::span<const uint8_t> levels, std::byte* out) { HWY_DYNAMIC_DISPATCH(PackLevels4)(levels, out); }
bool unpack_levels4(const std::byte* packed, std::span<uint8_t> levels) { return HWY_DYNAMIC_DISPATCH(UnpackLevels4)(packed, levels); }

}  // namespace thinwire::compressors::quantize_kernels
#endif

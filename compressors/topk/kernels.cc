#include "compressors/topk/kernels.h"

#include <algorithm>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compressors/topk/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::compressors::topk_kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int32_t kMagnitudeBits = 0x7fffffff;

// Magnitudes are below 2^31: they compare as signed numbers, which every target can.
using Ints = hn::CappedTag<int32_t, kSlackElems>;
using Floats = hn::CappedTag<float, kSlackElems>;
using Vec = hn::Vec<Ints>;

// Elements are looked at in groups: what is found in one is a number whose bits are walked. Of a few per cent that is as fast as to
// compress vectors, also on targets that have no instruction for it, and nothing is written behind the end.
constexpr size_t kGroup = 64;

Vec magnitudes_at(const float* values) {
  return hn::And(hn::BitCast(Ints(), hn::LoadU(Floats(), values)), hn::Set(Ints(), kMagnitudeBits));
}
Vec magnitudes_at(const int32_t* magnitudes) { return hn::LoadU(Ints(), magnitudes); }

// Bit i: take(magnitudes) holds for element i of the group.
template <class T, class Take>
uint64_t bits_of(const T* group, const Take& take) {
  const size_t lanes = hn::Lanes(Ints());
  uint64_t bits = 0;
  for (size_t i = 0; i < kGroup; i += lanes) {
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(Ints(), take(magnitudes_at(group + i)), bytes);
    uint16_t some = 0;  // one vector has 16 lanes at most
    std::memcpy(&some, bytes, sizeof some);
    bits |= uint64_t{some} << i;
  }
  return bits;
}

// visit(index of the group's first element, bits_of it). `take` may change from one group to the next.
template <class T, class Take, class Visit>
void for_each_group(const T* elements, size_t count, const Take& take, const Visit& visit) {
  const size_t whole = count / kGroup * kGroup;
  for (size_t i = 0; i < whole; i += kGroup) visit(i, bits_of(elements + i, take));
  if (whole == count) return;
  T rest[kGroup] = {};
  std::copy(elements + whole, elements + count, rest);
  visit(whole, bits_of(rest, take) & ((uint64_t{1} << (count - whole)) - 1));
}

// visit(index) for each bit.
template <class Visit>
void for_each_bit(size_t first_index, uint64_t bits, const Visit& visit) {
  for (; bits != 0; bits &= bits - 1) visit(first_index + static_cast<size_t>(std::countr_zero(bits)));
}

uint32_t magnitude_of(float value) { return std::bit_cast<uint32_t>(value) & kMagnitudeBits; }
uint32_t magnitude_of(int32_t magnitude) { return static_cast<uint32_t>(magnitude); }

// Also in place, as nothing is written before it was read.
template <class T, class Out>
size_t copy_between(const T* elements, size_t count, uint32_t least, uint32_t most, Out* out) {
  const Ints d;
  const Vec below = hn::Set(d, static_cast<int32_t>(least) - 1), last = hn::Set(d, static_cast<int32_t>(most));
  size_t found = 0;
  for_each_group(
      elements, count, [&](Vec m) { return hn::AndNot(hn::Gt(m, last), hn::Gt(m, below)); },
      [&](size_t first, uint64_t bits) {
        for_each_bit(first, bits, [&](size_t i) { out[found++] = static_cast<Out>(magnitude_of(elements[i])); });
      });
  return found;
}

size_t MagnitudesBetween(std::span<const float> values, uint32_t least, uint32_t most, uint32_t* out) {
  return copy_between(values.data(), values.size(), least, most, out);
}

// Magnitudes under search: padded with zeros to whole vectors, which no count sees, as it asks for 1 at least.
struct List {
  int32_t* at;
  size_t elems;

  void pad() const { hn::StoreU(hn::Zero(Ints()), Ints(), at + elems); }

  size_t count_from(uint32_t least) const {
    const Ints d;
    const size_t lanes = hn::Lanes(d);
    const Vec below = hn::Set(d, static_cast<int32_t>(least) - 1);
    const auto hits = [&](size_t i) { return hn::VecFromMask(d, hn::Gt(hn::LoadU(d, at + i), below)); };  // -1 each
    Vec even = hn::Zero(d), odd = hn::Zero(d);
    size_t i = 0;
    for (; i + 2 * lanes <= elems; i += 2 * lanes) {
      even = hn::Sub(even, hits(i));
      odd = hn::Sub(odd, hits(i + lanes));
    }
    for (; i < elems; i += lanes) even = hn::Sub(even, hits(i));
    return static_cast<size_t>(hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd))));
  }

  void narrow(uint32_t least, uint32_t most) {
    elems = copy_between(at, elems, least, most, at);
    pad();
  }
};

struct Bounds {
  uint32_t low, high;
};

// Copies the magnitudes into the list. Bounds of the count-th largest: the largest of all; and, as each of at least `count` stretches (a
// lane of some consecutive vectors) has an element that reaches the least of the stretches' largest, that one.
Bounds fill(std::span<const float> values, size_t count, const List& list) {
  const Ints d;
  const size_t lanes = hn::Lanes(d), vectors = values.size() / lanes, rows = (count + lanes - 1) / lanes, row = vectors / rows;
  Vec least = hn::Set(d, kMagnitudeBits), largest = hn::Zero(d);
  size_t i = 0;
  const auto copy_vectors = [&](size_t end) {
    Vec most = hn::Zero(d);
    for (; i < end; i += lanes) {
      const Vec m = magnitudes_at(values.data() + i);
      hn::StoreU(m, d, list.at + i);
      most = hn::Max(most, m);
    }
    largest = hn::Max(largest, most);
    return most;
  };
  for (size_t done = 0; done < rows; ++done) least = hn::Min(least, copy_vectors((done + 1) * row * lanes));
  copy_vectors(vectors * lanes);
  uint32_t high = static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(d, largest)));
  for (; i < values.size(); ++i) {
    list.at[i] = static_cast<int32_t>(magnitude_of(values[i]));
    high = std::max(high, magnitude_of(values[i]));
  }
  list.pad();
  return {static_cast<uint32_t>(hn::GetLane(hn::MinOfLanes(d, least))), high};
}

// One of so many left in doubt is few enough to move them together, one by one, rather than to count all of them again. By measurement.
constexpr size_t kFew = 32;

Cut CutOf(std::span<const float> values, size_t count, uint32_t* scratch) {
  List list{reinterpret_cast<int32_t*>(scratch), values.size()};
  const Bounds bounds = fill(values, count, list);
  // At every step at least `count` magnitudes reach low, and fewer reach low + 2^bit. `above` of the latter are no longer in the list. The
  // bits that both bounds share are the threshold's.
  int bit = std::bit_width(bounds.low ^ bounds.high);
  uint32_t low = bounds.low >> bit << bit;
  size_t reach_low = values.size(), reach_high = 0, above = 0;
  while (--bit >= 0) {
    const uint32_t middle = low | 1u << bit;
    const size_t reach_middle = middle > bounds.high ? 0 : above + list.count_from(middle);
    if (reach_middle >= count) {
      low = middle;
      reach_low = reach_middle;
    } else {
      reach_high = reach_middle;
    }
    if (list.elems > kSlackElems && reach_low - reach_high <= list.elems / kFew) {
      list.narrow(low, low + ((1u << bit) - 1));
      above = reach_high;
    }
  }
  return {low, count - reach_high};
}

template <class Index>
size_t Keep(std::span<const float> values, uint32_t first_index, Cut& cut, Index* indices) {
  const Ints d;
  const Vec threshold = hn::Set(d, static_cast<int32_t>(cut.threshold));
  Vec below = cut.ties > 0 ? hn::Set(d, static_cast<int32_t>(cut.threshold) - 1) : threshold;
  size_t found = 0;
  for_each_group(
      values.data(), values.size(), [&](Vec m) { return hn::Gt(m, below); },
      [&](size_t first, uint64_t bits) {
        for_each_bit(first, bits, [&](size_t i) {
          if (magnitude_of(values[i]) == cut.threshold) {
            if (cut.ties == 0) return;
            if (--cut.ties == 0) below = threshold;
          }
          indices[found++] = static_cast<Index>(first_index + i);
        });
      });
  return found;
}
size_t Keep16(std::span<const float> values, uint32_t first_index, Cut& cut, uint16_t* indices) {
  return Keep(values, first_index, cut, indices);
}
size_t Keep32(std::span<const float> values, uint32_t first_index, Cut& cut, uint32_t* indices) {
  return Keep(values, first_index, cut, indices);
}

float LargestOf(std::span<const float> values) {
  const Ints d;
  const size_t lanes = hn::Lanes(d);
  Vec largest = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= values.size(); i += lanes) largest = hn::Max(largest, magnitudes_at(values.data() + i));
  uint32_t most = static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(d, largest)));
  for (; i < values.size(); ++i) most = std::max(most, magnitude_of(values[i]));
  return std::bit_cast<float>(most);
}

}  // namespace thinwire::compressors::topk_kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::compressors::topk_kernels {

HWY_EXPORT(CutOf);
HWY_EXPORT(Keep16);
HWY_EXPORT(Keep32);
HWY_EXPORT(MagnitudesBetween);
HWY_EXPORT(LargestOf);

Cut cut_of(std::span<const float> values, size_t count, uint32_t* scratch) { return HWY_DYNAMIC_DISPATCH(CutOf)(values, count, scratch); }

size_t keep(std::span<const float> values, uint32_t first_index, Cut& cut, uint16_t* indices) {
  return HWY_DYNAMIC_DISPATCH(Keep16)(values, first_index, cut, indices);
}
size_t keep(std::span<const float> values, uint32_t first_index, Cut& cut, uint32_t* indices) {
  return HWY_DYNAMIC_DISPATCH(Keep32)(values, first_index, cut, indices);
}

void select_largest(std::span<const float> values, size_t count, uint32_t* scratch, uint16_t* indices) {
  Cut cut = cut_of(values, count, scratch);
  keep(values, 0, cut, indices);
}
void select_largest(std::span<const float> values, size_t count, uint32_t* scratch, uint32_t* indices) {
  Cut cut = cut_of(values, count, scratch);
  keep(values, 0, cut, indices);
}

size_t magnitudes_between(std::span<const float> values, uint32_t least, uint32_t most, uint32_t* out) {
  return HWY_DYNAMIC_DISPATCH(MagnitudesBetween)(values, least, most, out);
}

float largest_of(std::span<const float> values) { return HWY_DYNAMIC_DISPATCH(LargestOf)(values); }

}  // namespace thinwire::compressors::topk_kernels
#endif  // HWY_ONCE

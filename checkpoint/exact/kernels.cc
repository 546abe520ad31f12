#include "checkpoint/exact/kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "checkpoint/exact/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace thinwire::checkpoint::exact::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Octets = hn::ScalableTag<uint8_t>;
template <class Word>
using Words = hn::ScalableTag<Word>;

constexpr size_t kBlockBytes = 4096;  // words that are rotated before their bytes are told apart: they stay in the first cache

template <class Word>
size_t whole_vectors(size_t elems) {
  return elems / hn::Lanes(Words<Word>()) * hn::Lanes(Words<Word>());
}

// All bits where the sign is set, else none.
template <class D, class V>
V sign_mask(D d, V x) {
  const hn::RebindToSigned<D> s;
  return hn::BitCast(d, hn::BroadcastSignBit(hn::BitCast(s, x)));
}

template <class D, class V>
V ordered_vector(D d, V x, Numbers numbers) {
  if (numbers == Numbers::integers) return x;
  return hn::Xor(x, hn::Or(sign_mask(d, x), hn::Set(d, kSign<hn::TFromD<D>>)));
}

template <class D, class V>
V unordered_vector(D d, V x, Numbers numbers) {
  if (numbers == Numbers::integers) return x;
  return hn::Xor(x, hn::Or(hn::Not(sign_mask(d, x)), hn::Set(d, kSign<hn::TFromD<D>>)));
}

template <class D, class V>
V towards_vector(D d, V x, V earlier, Numbers numbers) {
  if (numbers == Numbers::integers) return x;
  const V negative = sign_mask(d, earlier);
  return hn::Sub(hn::Xor(x, negative), negative);
}

template <class Word>
void Differences(std::span<const Word> x, std::span<const Word> earlier, Numbers numbers, std::span<Word> out) {
  const Words<Word> d;
  const size_t whole = whole_vectors<Word>(x.size());
  for (size_t i = 0; i < whole; i += hn::Lanes(d)) {
    const auto now = ordered_vector(d, hn::LoadU(d, x.data() + i), numbers), before = hn::LoadU(d, earlier.data() + i);
    const auto change = hn::Sub(now, ordered_vector(d, before, numbers));
    hn::StoreU(towards_vector(d, change, before, numbers), d, out.data() + i);
  }
  reference::differences(x.subspan(whole), earlier.subspan(whole), numbers, out.subspan(whole));
}

template <class Word>
void UndoDifferences(std::span<const Word> x, std::span<const Word> earlier, Numbers numbers, std::span<Word> out) {
  const Words<Word> d;
  const size_t whole = whole_vectors<Word>(x.size());
  for (size_t i = 0; i < whole; i += hn::Lanes(d)) {
    const auto before = hn::LoadU(d, earlier.data() + i);
    const auto change = towards_vector(d, hn::LoadU(d, x.data() + i), before, numbers);
    hn::StoreU(unordered_vector(d, hn::Add(change, ordered_vector(d, before, numbers)), numbers), d, out.data() + i);
  }
  reference::undo_differences(x.subspan(whole), earlier.subspan(whole), numbers, out.subspan(whole));
}

// `change` of a magnitude and what is expected of it.
template <class Change>
size_t rescale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out, Change change) {
  const Words<uint32_t> d;
  const hn::Rebind<uint16_t, Words<uint32_t>> halves;
  const auto sign = hn::Set(d, kSign<uint32_t>), of_row = hn::Set(d, row);
  const size_t whole = whole_vectors<uint32_t>(x.size());
  for (size_t j = 0; j < whole; j += hn::Lanes(d)) {
    const auto values = hn::LoadU(d, x.data() + j);
    const auto sum = hn::And(hn::Add(of_row, hn::PromoteTo(d, hn::LoadU(halves, columns + j))), hn::Set(d, 0xffff));
    const auto changed = change(values, hn::ShiftLeftSame(sum, static_cast<int>(shift)));
    hn::StoreU(hn::Or(hn::And(sign, values), hn::AndNot(sign, changed)), d, out.data() + j);
  }
  return whole;
}

void Scale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out) {
  const size_t done = rescale(x, row, columns, shift, out, [](auto a, auto b) { return hn::Sub(a, b); });
  reference::scale(x.subspan(done), row, columns + done, shift, out.subspan(done));
}
void UndoScale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out) {
  const size_t done = rescale(x, row, columns, shift, out, [](auto a, auto b) { return hn::Add(a, b); });
  reference::undo_scale(x.subspan(done), row, columns + done, shift, out.subspan(done));
}

// Adds `before`, rotates, adds `after`.
template <class Word>
void rotate_left(const Word* from, size_t elems, Word before, unsigned rotation, Word after, Word* to) {
  const Words<Word> d;
  const auto first = hn::Set(d, before), last = hn::Set(d, after);
  const int left = static_cast<int>(rotation), right = static_cast<int>(kWordBits<Word> - rotation);
  for (size_t i = 0; i < elems; i += hn::Lanes(d)) {
    const auto word = hn::Add(hn::LoadU(d, from + i), first);
    const auto rotated = rotation == 0 ? word : hn::Or(hn::ShiftLeftSame(word, left), hn::ShiftRightSame(word, right));
    hn::StoreU(hn::Add(rotated, last), d, to + i);
  }
}

// The bytes of as many words as a vector has bytes, one plane's from each p * stride on; and back.
void store_planes(Octets d, const uint32_t* words, std::byte* planes, size_t stride) {
  hn::Vec<Octets> p0, p1, p2, p3;
  hn::LoadInterleaved4(d, reinterpret_cast<const uint8_t*>(words), p0, p1, p2, p3);
  auto* to = reinterpret_cast<uint8_t*>(planes);
  hn::StoreU(p0, d, to);
  hn::StoreU(p1, d, to + stride);
  hn::StoreU(p2, d, to + 2 * stride);
  hn::StoreU(p3, d, to + 3 * stride);
}
void store_planes(Octets d, const uint16_t* words, std::byte* planes, size_t stride) {
  hn::Vec<Octets> p0, p1;
  hn::LoadInterleaved2(d, reinterpret_cast<const uint8_t*>(words), p0, p1);
  hn::StoreU(p0, d, reinterpret_cast<uint8_t*>(planes));
  hn::StoreU(p1, d, reinterpret_cast<uint8_t*>(planes) + stride);
}
void load_planes(Octets d, const std::byte* planes, size_t stride, uint32_t* words) {
  const auto* from = reinterpret_cast<const uint8_t*>(planes);
  hn::StoreInterleaved4(hn::LoadU(d, from), hn::LoadU(d, from + stride), hn::LoadU(d, from + 2 * stride), hn::LoadU(d, from + 3 * stride),
                        d, reinterpret_cast<uint8_t*>(words));
}
void load_planes(Octets d, const std::byte* planes, size_t stride, uint16_t* words) {
  const auto* from = reinterpret_cast<const uint8_t*>(planes);
  hn::StoreInterleaved2(hn::LoadU(d, from), hn::LoadU(d, from + stride), d, reinterpret_cast<uint8_t*>(words));
}

template <class Word>
void Split(std::span<const Word> words, Word offset, unsigned rotation, std::byte* planes) {
  const Octets d;
  HWY_ALIGN Word rotated[kBlockBytes / sizeof(Word)];
  const size_t step = hn::Lanes(d), whole = words.size() / step * step, block = std::size(rotated);
  for (size_t begin = 0; begin < whole; begin += block) {
    const size_t elems = std::min(block, whole - begin);
    rotate_left(words.data() + begin, elems, offset, rotation, Word{0}, rotated);
    for (size_t i = 0; i < elems; i += step) store_planes(d, rotated + i, planes + begin + i, words.size());
  }
  for (size_t i = whole; i < words.size(); ++i) {
    std::byte bytes[sizeof(Word)];
    reference::split(words.subspan(i, 1), offset, rotation, bytes);
    for (size_t p = 0; p < sizeof(Word); ++p) planes[p * words.size() + i] = bytes[p];
  }
}

template <class Word>
void Merge(const std::byte* planes, Word offset, unsigned rotation, std::span<Word> words) {
  const Octets d;
  HWY_ALIGN Word rotated[kBlockBytes / sizeof(Word)];
  const size_t step = hn::Lanes(d), whole = words.size() / step * step, block = std::size(rotated);
  const unsigned back = rotation == 0 ? 0 : kWordBits<Word> - rotation;
  for (size_t begin = 0; begin < whole; begin += block) {
    const size_t elems = std::min(block, whole - begin);
    for (size_t i = 0; i < elems; i += step) load_planes(d, planes + begin + i, words.size(), rotated + i);
    rotate_left(rotated, elems, Word{0}, back, static_cast<Word>(-offset), words.data() + begin);
  }
  for (size_t i = whole; i < words.size(); ++i) {
    std::byte bytes[sizeof(Word)];
    for (size_t p = 0; p < sizeof(Word); ++p) bytes[p] = planes[p * words.size() + i];
    reference::merge(bytes, offset, rotation, words.subspan(i, 1));
  }
}

// By a name of their own each, as the dispatch wants them.
void Differences16(std::span<const uint16_t> x, std::span<const uint16_t> e, Numbers n, std::span<uint16_t> out) {
  Differences(x, e, n, out);
}
void Differences32(std::span<const uint32_t> x, std::span<const uint32_t> e, Numbers n, std::span<uint32_t> out) {
  Differences(x, e, n, out);
}
void Undo16(std::span<const uint16_t> d, std::span<const uint16_t> e, Numbers n, std::span<uint16_t> out) { UndoDifferences(d, e, n, out); }
void Undo32(std::span<const uint32_t> d, std::span<const uint32_t> e, Numbers n, std::span<uint32_t> out) { UndoDifferences(d, e, n, out); }
void Split16(std::span<const uint16_t> words, uint16_t offset, unsigned rotation, std::byte* planes) {
  Split(words, offset, rotation, planes);
}
void Split32(std::span<const uint32_t> words, uint32_t offset, unsigned rotation, std::byte* planes) {
  Split(words, offset, rotation, planes);
}
void Merge16(const std::byte* planes, uint16_t offset, unsigned rotation, std::span<uint16_t> words) {
  Merge(planes, offset, rotation, words);
}
void Merge32(const std::byte* planes, uint32_t offset, unsigned rotation, std::span<uint32_t> words) {
  Merge(planes, offset, rotation, words);
}

}  // namespace thinwire::checkpoint::exact::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thinwire::checkpoint::exact::kernels {

HWY_EXPORT(Differences16);
HWY_EXPORT(Differences32);
HWY_EXPORT(Undo16);
HWY_EXPORT(Undo32);
HWY_EXPORT(Scale);
HWY_EXPORT(UndoScale);
HWY_EXPORT(Split16);
HWY_EXPORT(Split32);
HWY_EXPORT(Merge16);
HWY_EXPORT(Merge32);

void differences(std::span<const uint16_t> x, std::span<const uint16_t> earlier, Numbers numbers, std::span<uint16_t> out) {
  HWY_DYNAMIC_DISPATCH(Differences16)(x, earlier, numbers, out);
}
void differences(std::span<const uint32_t> x, std::span<const uint32_t> earlier, Numbers numbers, std::span<uint32_t> out) {
  HWY_DYNAMIC_DISPATCH(Differences32)(x, earlier, numbers, out);
}
void undo_differences(std::span<const uint16_t> d, std::span<const uint16_t> earlier, Numbers numbers, std::span<uint16_t> out) {
  HWY_DYNAMIC_DISPATCH(Undo16)(d, earlier, numbers, out);
}
void undo_differences(std::span<const uint32_t> d, std::span<const uint32_t> earlier, Numbers numbers, std::span<uint32_t> out) {
  HWY_DYNAMIC_DISPATCH(Undo32)(d, earlier, numbers, out);
}
void scale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out) {
  HWY_DYNAMIC_DISPATCH(Scale)(x, row, columns, shift, out);
}
void undo_scale(std::span<const uint32_t> x, uint16_t row, const uint16_t* columns, unsigned shift, std::span<uint32_t> out) {
  HWY_DYNAMIC_DISPATCH(UndoScale)(x, row, columns, shift, out);
}
void split(std::span<const uint16_t> words, uint16_t offset, unsigned rotation, std::byte* planes) {
  HWY_DYNAMIC_DISPATCH(Split16)(words, offset, rotation, planes);
}
void split(std::span<const uint32_t> words, uint32_t offset, unsigned rotation, std::byte* planes) {
  HWY_DYNAMIC_DISPATCH(Split32)(words, offset, rotation, planes);
}
void merge(const std::byte* planes, uint16_t offset, unsigned rotation, std::span<uint16_t> words) {
  HWY_DYNAMIC_DISPATCH(Merge16)(planes, offset, rotation, words);
}
void merge(const std::byte* planes, uint32_t offset, unsigned rotation, std::span<uint32_t> words) {
  HWY_DYNAMIC_DISPATCH(Merge32)(planes, offset, rotation, words);
}

}  // namespace thinwire::checkpoint::exact::kernels
#endif

#include "compressors/topk/layer_choice.h"

#include <algorithm>
#include <array>
#include <bit>

#include "compressors/guards.h"
#include "compressors/topk/kernels.h"

namespace thinwire::compressors {
namespace {

constexpr size_t kBlockElems = 4096;

struct Digit {
  unsigned shift, bits;
};
constexpr std::array<Digit, 3> kDigits{{{20, 11}, {10, 10}, {0, 10}}};  // the 31 bits of a magnitude, from the top

// Counts of a digit's values. Four tables in turn: neighbours are often alike, and to count them in one place would make each wait for the
// one before.
class Tally {
 public:
  void clear() { counts_ = {}; }

  template <class T>
  void add(std::span<const T> values, Digit digit) {
    const uint32_t mask = (1u << digit.bits) - 1;  // cuts off the sign as well
    const auto bucket = [&](size_t i) { return std::bit_cast<uint32_t>(values[i]) >> digit.shift & mask; };
    size_t i = 0;
    for (; i + 4 <= values.size(); i += 4) {
      ++counts_[0][bucket(i)];
      ++counts_[1][bucket(i + 1)];
      ++counts_[2][bucket(i + 2)];
      ++counts_[3][bucket(i + 3)];
    }
    for (; i < values.size(); ++i) ++counts_[0][bucket(i)];
  }

  size_t of(size_t bucket) const { return size_t{counts_[0][bucket]} + counts_[1][bucket] + counts_[2][bucket] + counts_[3][bucket]; }

 private:
  std::array<std::array<uint32_t, 1u << 11>, 4> counts_;
};

struct Scratch {
  std::array<float, kBlockElems> a;
  std::array<uint32_t, kBlockElems> magnitudes;
  Tally tally;
};

// Infinities and NaN have all the exponent's bits, and so has the top of their bucket.
bool any_not_finite(const Tally& tally) {
  size_t found = 0;
  for (size_t bucket = 0x7f800000u >> kDigits[0].shift; bucket < size_t{1} << kDigits[0].bits; ++bucket) found += tally.of(bucket);
  return found > 0;
}

// a, block by block, in cache: from the residual once it has been left there, otherwise formed anew.
struct Source {
  const In& in;
  size_t elems;
  std::span<float> room;
  bool settled = false;

  template <class Visit>
  void for_each_block(const Visit& visit) const {
    for (size_t begin = 0; begin < elems; begin += kBlockElems) {
      const size_t length = std::min(kBlockElems, elems - begin);
      if (settled) {
        visit(begin, std::span<const float>(in.residual + begin, length));
        continue;
      }
      const auto a = room.first(length);
      accumulate(in, begin, a);
      visit(begin, std::span<const float>(a));
    }
  }
};

// The magnitudes that share the digits found so far are those in [low, low + 2^width); `above` are larger.
struct Bracket {
  uint32_t low = 0;
  size_t above = 0;

  void refine(const Tally& tally, Digit digit, size_t count) {
    size_t bucket = size_t{1} << digit.bits;
    for (size_t reached = above; reached < count; reached += tally.of(bucket)) {
      above = reached;
      --bucket;
    }
    low |= static_cast<uint32_t>(bucket) << digit.shift;
  }
};

}  // namespace

size_t layer_choice_scratch_bytes() { return sizeof(Scratch); }

void choose_of_layer(Layer layer, const In& in, MutableBytes scratch_bytes, std::span<uint32_t> indices, std::span<float> values) {
  check(scratch_bytes.size() >= sizeof(Scratch), "the scratch of a layer's choice was asked for");
  Scratch& scratch = *reinterpret_cast<Scratch*>(scratch_bytes.data());
  const size_t count = indices.size();
  Source source{in, static_cast<size_t>(layer.elems()), scratch.a};

  scratch.tally.clear();
  source.for_each_block([&](size_t, std::span<const float> a) { scratch.tally.add(a, kDigits[0]); });
  if (any_not_finite(scratch.tally)) require_finite(layer, in);  // throws

  Bracket bracket;
  bracket.refine(scratch.tally, kDigits[0], count);
  for (const Digit digit : {kDigits[1], kDigits[2]}) {
    const uint32_t last = bracket.low + ((1u << (digit.shift + digit.bits)) - 1);
    scratch.tally.clear();
    source.for_each_block([&](size_t begin, std::span<const float> a) {
      const size_t found = topk_kernels::magnitudes_between(a, bracket.low, last, scratch.magnitudes.data());
      scratch.tally.add(std::span<const uint32_t>(scratch.magnitudes).first(found), digit);
      if (in.residual != nullptr && !source.settled) std::ranges::copy(a, in.residual + begin);
    });
    source.settled = in.residual != nullptr;
    bracket.refine(scratch.tally, digit, count);
  }

  topk_kernels::Cut cut{bracket.low, count - bracket.above};
  size_t kept = 0;
  source.for_each_block([&](size_t begin, std::span<const float> a) {
    const size_t end = kept + topk_kernels::keep(a, static_cast<uint32_t>(begin), cut, indices.data() + kept);
    for (; kept < end; ++kept) values[kept] = a[indices[kept] - begin];
  });
  check(kept == count, "the cut keeps as many as were asked for");
}

}  // namespace thinwire::compressors

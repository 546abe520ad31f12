#include "exchange/feedback/int8_residual.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace thinwire::exchange {

Int8Residual::Int8Residual(const SlotTable& table, double decay, uint64_t seed)
    : table_(table), decay_(static_cast<float>(decay)), draw_(Draw(seed).fork("int8 residual")) {
  for (const SlotSpec& spec : table.slots()) {
    slots_.push_back({std::vector<int8_t>(spec.elems(), 0), std::vector<float>((spec.elems() + kBlock - 1) / kBlock, 0.0f), 0});
  }
}

void Int8Residual::unpack(Slot slot, std::span<float> values) const {
  const Packed& packed = slots_[slot];
  for (size_t i = 0; i < values.size(); ++i) values[i] = packed.scales[i / kBlock] * static_cast<float>(packed.levels[i]);
}

namespace {
constexpr float kMostLevel = 127;

// Rounding may leave 127 times the scale below the largest, by much where the scale is a denormal of few bits, or beyond the largest float.
float scale_for(float largest) {
  const float scale = largest / kMostLevel;
  if (scale < std::numeric_limits<float>::min() && kMostLevel * scale < largest) return std::nextafter(scale, 1.0f);
  return std::isfinite(kMostLevel * scale) ? scale : std::nextafter(scale, 0.0f);
}
}  // namespace

void Int8Residual::pack(Slot slot, std::span<const float> values) {
  const Draw dither = draw_.fork(slot).fork(static_cast<uint64_t>(++slots_[slot].packings));
  pack(slot, values, [&](size_t i) { return dither.uniform(i); });
}

template <class Offset>
void Int8Residual::pack(Slot slot, std::span<const float> values, const Offset& offset) {
  Packed& packed = slots_[slot];
  for (size_t block = 0; block < packed.scales.size(); ++block) {
    const size_t first = block * kBlock, end = std::min(values.size(), first + kBlock);
    float largest = 0;
    for (size_t i = first; i < end; ++i) largest = std::max(largest, std::fabs(values[i]));
    packed.scales[block] = scale_for(largest);
    // In double: the inverse of a denormal is beyond fp32.
    const double inverse = packed.scales[block] > 0 ? 1.0 / packed.scales[block] : 0;
    for (size_t i = first; i < end; ++i) {
      const double level = std::floor(values[i] * inverse + offset(i));
      packed.levels[i] = static_cast<int8_t>(std::clamp<double>(level, -kMostLevel, kMostLevel));
    }
  }
}

void Int8Residual::open(OpenRange& range, std::span<float> x) {
  range.residual.resize(x.size());
  table_.for_each_slot(range.begin, x.size(), [&](Slot slot, size_t from, size_t to) {
    unpack(slot, std::span(range.residual).subspan(from - range.begin, to - from));
  });
}

void Int8Residual::sent(OpenRange& range, size_t elems, std::span<const float>) {
  check(elems == range.residual.size(), "what was opened is closed");
  table_.for_each_slot(range.begin, elems, [&](Slot slot, size_t from, size_t to) {
    pack(slot, std::span(range.residual).subspan(from - range.begin, to - from));
  });
}

void Int8Residual::take_back(size_t begin, std::span<const float> owed) {
  for (Slot slot = 0; slot < slots_.size(); ++slot) {
    const size_t at = table_.offset(slot), end = at + slots_[slot].levels.size();
    const size_t from = std::max(at, begin), to = std::min(end, begin + owed.size());
    if (from >= to) continue;
    std::vector<float> values(end - at);
    unpack(slot, values);
    for (size_t i = from; i < to; ++i) values[i - at] += owed[i - begin];
    pack(slot, values);
  }
}

std::span<float> Int8Residual::residual(Slot slot, std::vector<float>& unpacked) {
  unpacked.resize(slots_[slot].levels.size());
  unpack(slot, unpacked);
  return unpacked;
}

std::vector<StatePiece> Int8Residual::state(Slot slot) {
  Packed& packed = slots_[slot];
  const std::string& name = table_.slots()[slot].name;
  return {
      {.name = "residual_levels/" + name,
       .slot = slot,
       .dtype = DType::u8,  // the bits of int8
       .memory = std::as_writable_bytes(std::span(packed.levels))},
      {.name = "residual_scales/" + name, .slot = slot, .slot_shaped = false, .memory = std::as_writable_bytes(std::span(packed.scales))},
      {.name = "residual_packings/" + name,
       .slot = slot,
       .slot_shaped = false,
       .dtype = DType::i64,
       .memory = std::as_writable_bytes(std::span(&packed.packings, 1))}};
}

std::vector<StatePiece> Int8Residual::state_to_regroup(Slot slot) {
  unpacked_.resize(slots_.size());
  std::vector<float>& values = unpacked_[slot];
  values.resize(slots_[slot].levels.size());
  const std::string& name = table_.slots()[slot].name;
  return {{.name = "residual/" + name,
           .slot = slot,
           .memory = std::as_writable_bytes(std::span(values)),
           .packed = {"residual_levels/" + name, "residual_scales/" + name, kBlock}},
          state(slot)[2]};
}

void Int8Residual::regrouped() {
  for (Slot slot = 0; slot < unpacked_.size(); ++slot) pack(slot, unpacked_[slot], [](size_t) { return 0.5; });
  std::vector<std::vector<float>>().swap(unpacked_);
}

}  // namespace thinwire::exchange

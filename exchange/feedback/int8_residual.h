// EF14 whose residual rests in 8 bits: one byte an element and a float for each block of 256, a quarter of the memory.
//
// A residual is unpacked for the bucket at hand, updated in fp32 and packed again with a dither, so that rounding it is unbiased: mass is
// conserved in expectation, not exactly. Each block's scale is its largest magnitude / 127. The dither is a function of
// (seed, place, number of packings), which is saved.
#pragma once
#include "base/draw.h"
#include "exchange/feedback/feedback.h"

namespace thinwire::exchange {

class Int8Residual final : public ErrorFeedback {
 public:
  static constexpr size_t kBlock = 256;

  Int8Residual(const SlotTable& table, double decay, uint64_t seed);
  void open(OpenRange& range, std::span<float> x) override;
  Offer in(OpenRange& range, Slot, size_t at, const float* x) override {
    return {{x, range.scale, range.residual.data() + at, decay_}};
  }
  void sent(OpenRange& range, size_t elems, std::span<const float>) override;
  void received(OpenRange&, std::span<float>) override {}
  void dense(OpenRange&, std::span<const float>) override {}
  void dense_received(OpenRange&, std::span<const float>) override {}
  float decay() const override { return decay_; }
  void take_back(size_t begin, std::span<const float> owed) override;
  std::vector<StatePiece> state(Slot slot) override;
  // Unpacked. Packing them again rounds to nearest: what was packed before comes out as it was, and anything else is off by half a level of
  // its block at most.
  std::vector<StatePiece> state_to_regroup(Slot slot) override;
  void regrouped() override;
  std::span<float> residual(Slot slot, std::vector<float>& unpacked) override;

 private:
  struct Packed {  // one slot
    std::vector<int8_t> levels;
    std::vector<float> scales;
    int64_t packings = 0;
  };
  void unpack(Slot slot, std::span<float> values) const;
  void pack(Slot slot, std::span<const float> values);
  template <class Offset>  // of an element: what is added to its level before that is rounded down
  void pack(Slot slot, std::span<const float> values, const Offset& offset);

  const SlotTable& table_;
  float decay_;
  Draw draw_;
  std::vector<Packed> slots_;
  std::vector<std::vector<float>> unpacked_;  // by slot, while they are regrouped
};

}  // namespace thinwire::exchange

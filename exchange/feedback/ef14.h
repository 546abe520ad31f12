// EF14: the error of a round is added to what the next one sends.
#pragma once
#include "base/draw.h"
#include "exchange/feedback/feedback.h"

namespace thinwire::exchange {

class Ef14 final : public ErrorFeedback {
 public:
  Ef14(const SlotTable& table, double decay) : table_(table), decay_(static_cast<float>(decay)), residual_(table.total_elems(), 0.0f) {}
  void open(size_t, std::span<float>, float scale) override { scale_ = scale; }
  compressors::In in(Slot, size_t begin, const float* x) override { return {x, scale_, residual_.data() + begin, decay_}; }
  void sent(size_t, size_t, std::span<const float>) override {}  // encode() has updated the residual in its own pass
  void received(size_t, std::span<float>) override {}
  void dense(size_t, std::span<const float>, float) override {}  // residuals wait for the next compressed round
  void dense_received(size_t, std::span<const float>) override {}
  float decay() const override { return decay_; }
  void take_back(size_t begin, std::span<const float> owed) override;
  std::vector<StatePiece> state(Slot slot) override;
  std::span<float> residual(Slot slot) override;

 private:
  const SlotTable& table_;
  float decay_;
  float scale_ = 1;
  std::vector<float> residual_;  // flat
};

}  // namespace thinwire::exchange

// EF14: the error of a round is added to what the next one sends.
#pragma once
#include "base/draw.h"
#include "exchange/feedback/feedback.h"

namespace thinwire::exchange {

class Ef14 final : public ErrorFeedback {
 public:
  Ef14(const SlotTable& table, double decay) : table_(table), decay_(static_cast<float>(decay)), residual_(table.total_elems(), 0.0f) {}
  void open(OpenRange&, std::span<float>) override {}
  compressors::In in(OpenRange& range, Slot, size_t at, const float* x) override {
    return {x, range.scale, residual_.data() + range.begin + at, decay_};
  }
  void sent(OpenRange&, size_t, std::span<const float>) override {}  // encode() has updated the residual in its own pass
  void received(OpenRange&, std::span<float>) override {}
  void dense(OpenRange&, std::span<const float>) override {}  // residuals wait for the next compressed round
  void dense_received(OpenRange&, std::span<const float>) override {}
  float decay() const override { return decay_; }
  void take_back(size_t begin, std::span<const float> owed) override;
  std::vector<StatePiece> state(Slot slot) override;
  std::span<float> residual(Slot slot, std::vector<float>&) override { return of(slot); }

 private:
  std::span<float> of(Slot slot) { return std::span(residual_).subspan(table_.offset(slot), table_.slots()[slot].elems()); }

  const SlotTable& table_;
  float decay_;
  std::vector<float> residual_;  // flat
};

}  // namespace thinwire::exchange

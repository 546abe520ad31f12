// The policies that keep an estimate h of what each rank would send uncompressed, and send only how the estimate is to change: EF21,
// EF21-SGDM and EControl (formulas: feedback.h). Every rank also keeps the mean H of all estimates, which is the round's result.
//
// Before the first compressed round h must be the same thing on both sides of the wire: `start: dense` sends the first round as it is
// (h = g, H = mean of g; the papers' initialisation), `start: zero` begins at h = H = 0 and costs nothing. A dense round in between starts
// h, H and v anew; e stays, and what owners of slices still owed of the old estimates is void.
//
// Invariants, to fp32 rounding: h_T = h_0 + sum of decoded; H = mean of h (with what the owners of slices still owe);
// EControl: e_T = e_0 + sum (g_t - h_{t+1}). EControl with eta 0 is EF21 bit for bit.
//
// What a round makes of v and e rests in its open range until the message is complete: a round that fails before leaves no trace.
#pragma once
#include "exchange/feedback/feedback.h"

namespace thinwire::exchange {

class Estimates final : public ErrorFeedback {
 public:
  struct Policy {
    bool momentum = false;    // ef21_sgdm
    float beta = 1;           // of the new gradient in the momentum
    bool integrates = false;  // econtrol: keeps e
    std::vector<float> eta;   // econtrol: by slot
    bool dense_start = true;
  };
  Estimates(const SlotTable& table, Policy policy);

  bool needs_dense_round(Slot slot) const override;
  void open(OpenRange& range, std::span<float> x) override;
  Offer in(OpenRange&, Slot, size_t, const float* x) override { return {{x, 1, nullptr, 1}}; }
  bool wants_decoded() const override { return true; }
  void sent(OpenRange& range, size_t elems, std::span<const float> decoded) override;
  void received(OpenRange& range, std::span<float> mean) override;
  void dense(OpenRange& range, std::span<const float> x) override;
  void dense_received(OpenRange& range, std::span<const float> mean) override;
  bool dense_settles() const override { return true; }
  float decay() const override { return 1; }
  void take_back(size_t begin, std::span<const float> owed) override;
  std::vector<StatePiece> state(Slot slot) override;
  std::span<float> residual(Slot slot, std::vector<float>&) override;  // e; empty without

 private:
  struct Next {  // what the gradient of one element leads to
    float momentum, encoded, residual;
  };
  Next next(size_t i, float g, float eta) const;
  void note_started(size_t begin, size_t elems);
  std::span<float> of(std::vector<float>& flat, Slot slot);

  const SlotTable& table_;
  Policy policy_;
  std::vector<float> estimate_, mean_, momentum_, residual_;  // flat: h, H, v, e
  std::vector<int64_t> started_;                              // by slot: 1 once h and H mean something
};

}  // namespace thinwire::exchange

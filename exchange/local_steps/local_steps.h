// Local steps: every rank optimises on its own for `every` steps; then the drift of its parameters since the last round is exchanged as if
// it were a gradient, and an outer optimiser applies the mean to the common starting point, the anchor.
//
//   drift_r = anchor - theta_r;   mean = (1/N) sum_r decoded(drift_r + residual_r);   anchor -= outer(mean);   theta_r = anchor
//
// outer sgd:      outer(d) = lr d                                   SparseLoCo (arXiv 2508.15706), with top-k and EF14
// outer nesterov: m = mu m + d; outer(d) = lr (d + mu m)            DiLoCo (arXiv 2311.08105)
//
// With a delay of D > 0 steps training goes on while the round is on the wire (Streaming DiLoCo, arXiv 2501.18512, section 2.2): the mean
// is applied D steps later, and what the rank has done meanwhile stays on top of it. With s the step that began the round:
//
//   at s + D:   anchor -= outer(mean);   theta_r += anchor - theta_r(s)
//
// so that the next drift is what the rank did since s, and nothing is counted twice. Anchors are the same on all ranks; parameters only are
// after the last step. With F fragments (section 2.1 there) each F-th of the model has rounds of its own, spread evenly over the `every`
// steps, so that the wire is used all the time and a round is F times shorter.
//
// The inner optimiser's moments stay with their rank and are never averaged. The last step of a run ends all rounds, however short.
#pragma once
#include "exchange/schedule.h"

namespace thinwire::exchange {

class LocalSteps : public Schedule {
 public:
  LocalSteps(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters);
  std::span<float> gradients() override;
  void begin_step(const StepPlan& plan) override;
  void gradient_ready(Slot) override {}
  void reduce() override;
  void end_step() override;
  bool exchanged() const override { return exchanged_; }
  void settle() override;
  bool replicas_agree() const override;
  bool optimizer_agrees() const override { return exchange_.driver().size() == 1; }
  std::vector<StatePiece> agreed() override;
  std::vector<StatePiece> state() override;

 private:
  bool is_due(uint32_t fragment) const;
  void begin_round(uint32_t fragment);
  void end_round(uint32_t fragment);
  template <class Visit>
  void for_each_block(Slot slot, Visit&& visit);
  void apply_outer(Slot slot, size_t at, size_t elems);

  OuterOptions outer_;
  uint64_t every_, delay_;
  std::vector<std::span<float>> parameters_;
  std::vector<Array> anchors_, momenta_;  // momenta_ only for nesterov
  Array gradients_;                       // with a delay: the exchange's own array is on the wire meanwhile
  std::vector<Array> departed_;           // with a delay: theta_r(s)
  std::vector<int64_t> begun_;            // by fragment: the step that began the round under way, 0 when there is none
  StepPlan plan_;
  bool exchanged_ = true;  // before the first step all ranks hold the initial parameters
};

}  // namespace thinwire::exchange

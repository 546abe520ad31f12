// Local steps: every rank optimises on its own for `every` steps; then the drift of its parameters since the last round is exchanged as if
// it were a gradient, and an outer optimiser applies the mean to the common starting point, the anchor.
//
//   drift_r = anchor - theta_r;   mean = (1/N) sum_r decoded(drift_r + residual_r);   anchor -= outer(mean);   theta_r = anchor
//
// outer sgd:      outer(d) = lr d                                   SparseLoCo (arXiv 2508.15706), with top-k and EF14
// outer nesterov: m = mu m + d; outer(d) = lr (d + mu m)            DiLoCo (arXiv 2311.08105)
//
// The inner optimiser's moments stay with their rank and are never averaged. The last step of a run ends a round, however short.
#pragma once
#include "exchange/schedule.h"

namespace thinwire::exchange {

class LocalSteps : public Schedule {
 public:
  LocalSteps(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters);
  void begin_step(const StepPlan& plan) override;
  void gradient_ready(Slot) override {}
  void reduce() override;
  void end_step() override;
  bool exchanged() const override { return exchanged_; }
  bool replicas_agree() const override { return exchanged_ || exchange_.driver().size() == 1; }
  bool optimizer_agrees() const override { return exchange_.driver().size() == 1; }
  std::vector<StatePiece> state() override;

 private:
  void apply_outer(Slot slot);

  OuterOptions outer_;
  uint64_t every_;
  std::vector<std::span<float>> parameters_;
  std::vector<std::vector<float>> anchors_, momenta_;  // momenta_ only for nesterov
  StepPlan plan_;
  bool exchanged_ = true;  // before the first step all ranks hold the initial parameters
};

}  // namespace thinwire::exchange

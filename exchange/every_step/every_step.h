// Synchronous data parallelism: the gradients of every step are exchanged, while backward runs.
#pragma once
#include "exchange/schedule.h"

namespace thinwire::exchange {

class EveryStep : public Schedule {
 public:
  explicit EveryStep(Exchange& exchange) : Schedule(exchange) {}
  void begin_step(const StepPlan& plan) override;
  void gradient_ready(Slot slot) override { exchange_.ready(slot); }
  void reduce() override;
  void end_step() override {}
  bool exchanged() const override { return true; }
  bool replicas_agree() const override { return true; }
  bool optimizer_agrees() const override { return true; }
};

}  // namespace thinwire::exchange

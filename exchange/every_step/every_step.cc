#include "exchange/every_step/every_step.h"

namespace thinwire::exchange {

void EveryStep::begin_step(const StepPlan& plan) {
  residence().zero(gradients());
  exchange_.begin({plan.step, 1.0f / static_cast<float>(plan.micro_batches), plan.dense});
}

void EveryStep::reduce() {
  for (Slot slot = 0; slot < exchange_.table().slots().size(); ++slot) {
    if (!exchange_.is_ready(slot)) gradient_ready(slot);  // no gradient reached it: it travels as zero
  }
  exchange_.finish();
}

}  // namespace thinwire::exchange

#include "exchange/every_step/every_step.h"

#include <algorithm>

namespace thinwire::exchange {

void EveryStep::begin_step(const StepPlan& plan) {
  const auto gradients = exchange_.flat();
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  exchange_.begin({plan.step, 1.0f / static_cast<float>(plan.micro_batches), plan.dense});
}

void EveryStep::gradient_ready(Slot slot) { exchange_.ready(slot); }

void EveryStep::reduce() {
  for (Slot slot = 0; slot < exchange_.table().slots().size(); ++slot) {
    if (!exchange_.is_ready(slot)) exchange_.ready(slot);  // no gradient reached it: it travels as zero
  }
  exchange_.finish();
}

}  // namespace thinwire::exchange

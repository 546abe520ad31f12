#include "exchange/every_step/every_step.h"

#include <algorithm>

namespace thinwire::exchange {

EveryStep::EveryStep(Exchange& exchange, Residence* residence) : Schedule(exchange, residence) {
  exchange_.exchange_gradients_of(residence);
}

void EveryStep::begin_step(const StepPlan& plan) {
  zero_gradients();
  exchange_.begin({plan.step, 1.0f / static_cast<float>(plan.micro_batches), plan.dense});
}

void EveryStep::gradient_ready(Slot slot) {
  if (residence_ != nullptr) residence_->gradient_ready(slot);
  exchange_.ready(slot);
}

void EveryStep::reduce() {
  for (Slot slot = 0; slot < exchange_.table().slots().size(); ++slot) {
    if (!exchange_.is_ready(slot)) gradient_ready(slot);  // no gradient reached it: it travels as zero
  }
  exchange_.finish();
}

}  // namespace thinwire::exchange

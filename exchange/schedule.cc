#include "exchange/schedule.h"

#include <algorithm>

#include "exchange/every_step/every_step.h"
#include "exchange/local_steps/local_steps.h"

namespace thinwire::exchange {

void Schedule::zero_gradients() {
  if (residence_ != nullptr) return residence_->zero_gradients();
  std::ranges::fill(gradients(), 0.0f);
}

std::unique_ptr<Schedule> make_schedule(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters,
                                        Residence* residence) {
  if (options.schedule == "local_steps") return std::make_unique<LocalSteps>(options, exchange, std::move(parameters), residence);
  return std::make_unique<EveryStep>(exchange, residence);
}

}  // namespace thinwire::exchange

#include "exchange/schedule.h"

#include "exchange/every_step/every_step.h"
#include "exchange/local_steps/local_steps.h"

namespace thinwire::exchange {

std::unique_ptr<Schedule> make_schedule(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters) {
  if (options.schedule == "local_steps") return std::make_unique<LocalSteps>(options, exchange, std::move(parameters));
  return std::make_unique<EveryStep>(exchange);
}

}  // namespace thinwire::exchange

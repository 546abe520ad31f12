#include "exchange/feedback/feedback.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "exchange/feedback/ef14.h"
#include "exchange/feedback/estimates.h"
#include "exchange/feedback/int8_residual.h"

namespace thinwire::exchange {

namespace {

// The codec's guaranteed contraction, never a measured one: with that EControl diverges (docs/methods/error_feedback.md).
std::vector<float> etas(const FeedbackOptions& options, const SlotTable& table) {
  std::vector<float> eta;
  for (const SlotSpec& slot : table.slots()) {
    const double value = options.eta.value_or(slot.delta());
    if (value < 0 || (value == 0 && !options.eta)) {
      throw ConfigError("compress.error_feedback: econtrol takes its eta from the contraction that the codec guarantees, but " +
                        std::string(slot.codec->name()) + " guarantees none for '" + slot.name +
                        "'; set compress.error_feedback.eta, or use another policy");
    }
    eta.push_back(static_cast<float>(value));
  }
  return eta;
}

}  // namespace

bool loses_anything(const SlotTable& table) {
  return std::any_of(table.slots().begin(), table.slots().end(), [](const SlotSpec& slot) { return slot.delta() < 1; });
}

void require_sound(const FeedbackOptions& options, const SlotTable& table) {
  if (options.name == "econtrol") etas(options, table);
}

bool works_on_devices(const FeedbackOptions& options) {
  return options.name == "none" || (options.name == "ef14" && options.state == "fp32");
}

std::unique_ptr<ErrorFeedback> make_error_feedback(const FeedbackOptions& options, const SlotTable& table, uint64_t seed) {
  return make_error_feedback(options, table, seed, [](uint32_t) -> Residence& { return host_residence(); });
}

std::unique_ptr<ErrorFeedback> make_error_feedback(const FeedbackOptions& options, const SlotTable& table, uint64_t seed, HomeOf home_of) {
  if (options.name == "none") return nullptr;
  if (options.name == "ef14") {
    if (options.state == "int8") return std::make_unique<Int8Residual>(table, options.decay, seed);
    return std::make_unique<Ef14>(table, options.decay, home_of);
  }
  Estimates::Policy policy;
  policy.dense_start = options.start == "dense";
  policy.momentum = options.name == "ef21_sgdm";
  policy.beta = policy.momentum ? static_cast<float>(options.beta) : 1.0f;
  policy.integrates = options.name == "econtrol";
  if (policy.integrates) policy.eta = etas(options, table);
  return std::make_unique<Estimates>(table, std::move(policy));
}

}  // namespace thinwire::exchange

#include "exchange/error_feedback.h"

#include <algorithm>

namespace thinwire::exchange {

namespace {

class NoFeedback : public ErrorFeedback {
 public:
  compressors::In compensate(size_t, const float* x, float scale) override { return {x, scale, nullptr, 1}; }
  std::span<float> state(Slot) override { return {}; }
};

class Ef14 : public ErrorFeedback {
 public:
  Ef14(const SlotTable& table, double decay) : table_(table), decay_(static_cast<float>(decay)), residual_(table.total_elems(), 0.0f) {}
  compressors::In compensate(size_t begin, const float* x, float scale) override { return {x, scale, residual_.data() + begin, decay_}; }
  std::span<float> state(Slot slot) override { return std::span(residual_).subspan(table_.offset(slot), table_.slots()[slot].elems()); }

 private:
  const SlotTable& table_;
  float decay_;
  std::vector<float> residual_;
};

bool any_loss(const SlotTable& table) {
  return std::any_of(table.slots().begin(), table.slots().end(), [](const SlotSpec& slot) {
    return slot.codec->traits({0, slot.rows, slot.cols}).delta < 1;
  });
}

}  // namespace

std::unique_ptr<ErrorFeedback> make_error_feedback(const FeedbackOptions& options, const SlotTable& table) {
  if (options.name == "none" || !any_loss(table)) return std::make_unique<NoFeedback>();
  return std::make_unique<Ef14>(table, options.decay);
}

}  // namespace thinwire::exchange

// When ranks exchange, and what: gradients at every step, or the drift of the parameters every few steps.
//
// The trainer calls, on its own thread and in this order for every optimiser step:
//   begin_step(step); { backward; with gradient_ready(slot) from its hooks in the last micro-batch }; reduce(); [optimiser]; end_step()
// All ranks make the same calls. Backward adds gradients up in gradient(slot).
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "exchange/exchange.h"

namespace thinwire::exchange {

struct StepPlan {
  uint64_t step = 0;  // from 1
  int64_t micro_batches = 1;
  bool dense = false;  // warm-up: this step's exchange goes without codecs
  bool last = false;   // of the run: whatever is outstanding is exchanged now
};

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Of all slots, at the table's offsets, in the exchange's residence; moves when it is rebuilt.
  virtual std::span<float> gradients() { return exchange_.flat(); }
  virtual void begin_step(const StepPlan& plan) = 0;  // gradients are zero afterwards
  virtual void gradient_ready(Slot slot) = 0;         // in the last micro-batch, as backward finishes each
  // After backward: afterwards the gradients are what the optimiser is to use, the mean over micro-batches (and ranks, when they were
  // exchanged). Throws what the exchange throws.
  virtual void reduce() = 0;
  virtual void end_step() = 0;              // after the optimiser
  virtual bool exchanged() const = 0;       // did a round end with the step that just ended?
  virtual void settle() {}                  // ends what is under way, as a new plan needs it
  virtual bool replicas_agree() const = 0;  // now: are parameters and optimiser state the same on all ranks by construction?
  virtual bool optimizer_agrees() const = 0;
  virtual std::vector<StatePiece> agreed() { return {}; }       // what of state() is the same on all ranks at any time
  virtual std::vector<StatePiece> state() { return agreed(); }  // of the schedule itself; after Exchange::join()

  std::span<float> gradient(Slot slot) {
    return gradients().subspan(exchange_.table().offset(slot), exchange_.table().slots()[slot].elems());
  }
  Exchange& exchange() { return exchange_; }

 protected:
  explicit Schedule(Exchange& exchange) : exchange_(exchange) {}
  Residence& residence() { return exchange_.residence(); }
  Exchange& exchange_;
};

// `parameters` are the values that the optimiser changes, one span per slot, in the exchange's residence; all must outlive the schedule.
std::unique_ptr<Schedule> make_schedule(const ExchangeOptions& options, Exchange& exchange, std::vector<std::span<float>> parameters);

}  // namespace thinwire::exchange

// Where parameters and gradients live, when that is not the host memory that exchange and schedules work on: a GPU's.
//
// A schedule without a residence finds the numbers in its own memory. With one, it fetches what a round needs and stores what came of it;
// the optimiser and backward only ever see the residence. Thread-safe as far as said; everything else is the training thread's.
#pragma once
#include <cstddef>
#include <span>

#include "exchange/slots.h"

namespace thinwire::exchange {

class Residence {
 public:
  virtual ~Residence() = default;

  virtual void zero_gradients() = 0;
  virtual void scale_gradients(float factor) = 0;

  // Gradients, by the table's flat offsets. gradient_ready(): what has been computed of this slot until now is its gradient; from backward's
  // hooks. fetch_gradients() waits for it, for all slots of the range, and store_gradients() until the numbers are there; both on a
  // communication thread, several at once for different ranges.
  virtual void gradient_ready(Slot slot) = 0;
  virtual void fetch_gradients(size_t begin, std::span<float> to) = 0;
  virtual void store_gradients(size_t begin, std::span<const float> from) = 0;

  // Parameters: the spans that the schedule was given are copies, equal to what lives here after the one and until the other.
  virtual void fetch_parameters(Slot slot) = 0;
  virtual void store_parameters(Slot slot) = 0;
};

}  // namespace thinwire::exchange

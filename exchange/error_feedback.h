// Error feedback: what a codec leaves out of one round is not lost but kept by the rank, and offered again in the next.
//
// Works on ranges of the exchange's flat array. Called on the communication thread during a round, on the training thread between rounds.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compressors/codec.h"
#include "exchange/options.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

class ErrorFeedback {
 public:
  virtual ~ErrorFeedback() = default;
  // How a codec is to encode scale * x[0..] of the flat range that starts at `begin`. The codec's encode() updates the state in the
  // same pass.
  virtual compressors::In compensate(size_t begin, const float* x, float scale) = 0;
  // State of one slot, to be saved and restored under the slot's name; empty when there is none.
  virtual std::span<float> state(Slot slot) = 0;
};

// none: errors are dropped.
// ef14 (Seide et al. 2014; Stich et al., arXiv 1809.07599): a = decay * e + scale * x travels as C(a), and e becomes a - C(a).
//   Over T rounds with decay 1: sum of decoded + e_T = sum of scaled inputs + e_0.
std::unique_ptr<ErrorFeedback> make_error_feedback(const FeedbackOptions& options, const SlotTable& table);

}  // namespace thinwire::exchange

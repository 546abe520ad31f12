// The seam of sketches: numbers to fewer numbers whose sums over ranks are exact, so that no rank sees another's part.
//
// A round is: everyone produces its part, the parts are averaged over ranks (fp32, in rank order), everyone absorbs the mean. The last
// round's part decodes linearly, so the decoded mean is the mean of what the ranks' own parts decode to:
//
//   for (round : rounds) { part = produce(a); mean = average(part); absorb(mean); }
//   own = decode(last part);  all = decode(last mean)  =  average of own     (up to fp32 rounding)
//
// The object is immutable; what a layer keeps from one exchange to the next (PowerSGD's warm start) is `memory`, which the caller owns and
// saves. It is made of means and shared draws only, so it is the same on every rank.
#pragma once
#include <span>
#include <vector>

#include "compressors/compressor.h"

namespace thinwire::compressors {

class Sketch : public Compressor {
 public:
  virtual std::vector<size_t> round_elems(Layer layer) const = 0;  // floats of each round's part; at least one round
  virtual size_t memory_elems(Layer layer) const = 0;

  // Fills the memory before a layer's first exchange. Draws from `shared` only.
  virtual void start(Layer layer, const Draw& shared, std::span<float> memory) const = 0;

  // This rank's part of `round` (from 0) for a[0..elems), which is finite and the same in all rounds of one exchange.
  virtual void produce(Layer layer, int round, const float* a, std::span<const float> memory, Context& context,
                       std::span<float> part) const = 0;

  // Takes the mean part of `round` into the memory.
  virtual void absorb(Layer layer, int round, std::span<const float> mean, std::span<float> memory, Context& context) const = 0;

  // out += weight * what the last round's part stands for; linear in `last`. After all rounds are absorbed.
  virtual void decode_add(Layer layer, std::span<const float> last, std::span<const float> memory, float weight, float* out,
                          Context& context) const = 0;
};

}  // namespace thinwire::compressors

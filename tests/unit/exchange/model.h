// What the tests expect of an exchange: the same arithmetic written down again from the documents (docs/formats/payload.md, the headers of
// exchange/), serially, without frames, slices, buckets or threads, and by other means: rounding in doubles, selection by a full sort.
#pragma once
#include <cstddef>
#include <functional>
#include <vector>

namespace thinwire::exchange::testing {

using Values = std::vector<float>;
using SlotValues = std::vector<Values>;  // by slot

// What the numbers of one slot are after a trip through a codec, and how long the trip's payload is.
struct CodecModel {
  bool sums = false;  // two-shot: among more than two ranks the mean makes the trip once more
  std::function<Values(const Values&)> decoded;
  std::function<size_t(size_t elems)> payload_bytes;
};
CodecModel none_model();
CodecModel bf16_model();
CodecModel skeleton_model();
CodecModel topk_model(double density, size_t chunk_elems);

// All ranks of an exchange in one place. Feedback is ef14 with this decay; codecs without loss leave a residual of zeros. What a lossy mean
// leaves out on its second trip is added, decayed, to the next.
class SerialExchange {
 public:
  struct Slot {
    CodecModel codec;
    size_t elems;
  };
  SerialExchange(std::vector<Slot> slots, int num_ranks, float decay);

  // inputs[rank][slot]; returns the means by slot, and updates the residuals.
  SlotValues round(const std::vector<SlotValues>& inputs, float scale);
  // Fp32 whatever the codec, and no residual is read or written.
  SlotValues dense_round(const std::vector<SlotValues>& inputs, float scale) const;

  const SlotValues& residuals(int rank) const { return residuals_[static_cast<size_t>(rank)]; }

 private:
  Values mean(const CodecModel& codec, const std::vector<Values>& decoded, Values* owed) const;

  std::vector<Slot> slots_;
  float decay_;
  std::vector<SlotValues> residuals_;  // by rank
  SlotValues owed_;
};

}  // namespace thinwire::exchange::testing

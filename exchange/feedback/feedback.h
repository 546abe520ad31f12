// Error feedback: what a codec leaves out of one round is not lost but kept by the rank, and offered again in the next.
//
// A policy sees flat ranges of the exchange, in this order for each bucket and round, on a communication thread:
//
//   compressed:  open(x); in(part)... for each part that is encoded; sent(decoded); [wire]; received(mean)
//   dense:       dense(x);  [wire];  dense_received(mean)
//
// Rounds of different ranges may be under way at once, on different threads: what a round needs between two calls is in its OpenRange.
// Its state is kept by slot: saved and restored under the slot's name, and carried over when the plan changes. A round that fails before
// sent() leaves the state as it was. How each policy meets momentum, AdamW, clipping, accumulation and skipped steps:
// docs/methods/error_feedback.md.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/function_ref.h"
#include "exchange/offer.h"
#include "exchange/options.h"
#include "exchange/residence.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

// What becomes of a piece when the run goes on with more or fewer ranks (docs/formats/checkpoint.md, "Another number of ranks").
enum class Regroup : uint8_t {
  mean,   // of its rank; what counts is the mean over ranks, which stays
  slice,  // a part of a whole that is cut among the ranks: cut anew
  same,   // no rank's own, though it may not be kept by all
};

// Where an fp32 piece that is only used to regroup lies in checkpoints: in levels of int8, times a scale for each block.
struct PackedPiece {
  std::string levels, scales;  // names of pieces; without levels the piece is saved as it is
  size_t block = 0;            // elements
};

// A named piece of state for checkpoints.
struct StatePiece {
  std::string name;  // "residual/<slot>"
  Slot slot = 0;
  bool slot_shaped = true;         // has the slot's shape; else it is one row
  bool same_on_all_ranks = false;  // by construction
  DType dtype = DType::f32;
  std::span<std::byte> memory;  // of `home`
  Residence* home = &host_residence();
  Regroup regroup = Regroup::mean;
  size_t begin = 0;             // of a slice: its first element within the slot
  int keeper = 0, keepers = 0;  // of those ranks that keep such a piece, which this one is, and how many they are; 0: all ranks
  PackedPiece packed = {};
};

// A bucket's range of the flat array while its round is under way, with scratch for the policy.
struct OpenRange {
  size_t begin = 0;
  float scale = 1;  // the round's numbers are to be multiplied by it
  std::vector<float> residual, momentum, estimate;
};

class ErrorFeedback {
 public:
  virtual ~ErrorFeedback() = default;

  // May this be the slot's first round, or must a dense one come before it?
  virtual bool needs_dense_round(Slot) const { return false; }

  // x holds the round's numbers; may be changed in place.
  virtual void open(OpenRange& range, std::span<float> x) = 0;
  // What a codec is to encode of the part of `slot` that begins at `at` in the range and whose numbers, as open() left them, are at x.
  virtual Offer in(OpenRange& range, Slot slot, size_t at, const float* x) = 0;
  // Is that decay() * residual(slot) + scale * x, of the x that open() was given?
  virtual bool offers_as_given() const { return false; }
  // `decoded`: what peers decode of this rank's own message. Empty unless wants_decoded().
  virtual bool wants_decoded() const { return false; }
  virtual void sent(OpenRange& range, size_t elems, std::span<const float> decoded) = 0;
  // The mean over ranks of what they sent, replaced by what it stands for.
  virtual void received(OpenRange& range, std::span<float> mean) = 0;

  virtual void dense(OpenRange& range, std::span<const float> x) = 0;
  virtual void dense_received(OpenRange& range, std::span<const float> mean) = 0;
  // Does a dense round start anew, so that what owners of slices still owed is void?
  virtual bool dense_settles() const { return false; }

  // The decay of residuals: the owner of a two-shot's slice keeps its second error under the same.
  virtual float decay() const = 0;
  // When a plan ends, an owner's second error goes back: `owed` is what all ranks together still have to send of this range.
  virtual void take_back(size_t begin, std::span<const float> owed) = 0;

  virtual std::vector<StatePiece> state(Slot slot) = 0;
  // The same as numbers that can be added up, in memory that lives until regrouped(), which takes what was loaded into it.
  virtual std::vector<StatePiece> state_to_regroup(Slot slot) { return state(slot); }
  virtual void regrouped() {}
  // What is not sent yet; empty where there is no such thing. The state itself, where its bucket's numbers live, or a copy in `unpacked`
  // where it rests in another form.
  virtual std::span<float> residual(Slot slot, std::vector<float>& unpacked) = 0;
};

// none      errors are dropped.
// ef14      a = decay e + g;  D = C(a);  e' = a - D.                      Seide et al. 2014; Stich et al., arXiv 1809.07599
// ef21      D = C(g - h);  h' = h + D;  result: mean of h'.               Richtarik et al., arXiv 2106.05203
// ef21_sgdm v' = (1 - beta) v + beta g, then ef21 on v'.                  Fatkhullin et al., arXiv 2305.15155
// econtrol  D = C(eta e + g - h);  e' = e + g - h - D;  h' = h + D;  result: mean of h'.    Gao et al., arXiv 2311.05645
//
// Null for none. ConfigError when econtrol has neither an eta nor a codec that guarantees one.
// `home_of`: where the numbers of a bucket live, which is the host unless the policy works_on_devices().
using HomeOf = FunctionRef<Residence&(uint32_t bucket)>;
std::unique_ptr<ErrorFeedback> make_error_feedback(const FeedbackOptions& options, const SlotTable& table, uint64_t seed, HomeOf home_of);
std::unique_ptr<ErrorFeedback> make_error_feedback(const FeedbackOptions& options, const SlotTable& table, uint64_t seed);

// Does the policy keep what it keeps wherever a bucket's numbers live? Else its buckets go through the host.
bool works_on_devices(const FeedbackOptions& options);

// ConfigError as make_error_feedback throws it, without the memory of a policy.
void require_sound(const FeedbackOptions& options, const SlotTable& table);

// Does any codec of the table lose something? Without one there is nothing to feed back.
bool loses_anything(const SlotTable& table);

}  // namespace thinwire::exchange

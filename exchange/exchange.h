// The exchange: numbers of all ranks in, their mean out, compressed on the way.
//
//   begin(info); ready(slot)...; finish();
//
// The caller writes a slot's numbers into values(slot), calls ready(slot), and after finish() finds the mean over all ranks in the same
// place: bit for bit the same on every rank. Buckets are handed to the driver's bulk lanes in turn, as they fill, in a fixed order.
//
// A round is of one fragment of the slots (all of them, unless the table has more than one). Rounds of different fragments may be under way
// at once; all ranks begin them, and make their slots ready, in the same order.
//
// Threads: one training thread calls everything; values(slot) belongs to a communication thread from ready(slot) until join() or the
// round's finish() returns. Nothing else waits. Errors of the round (a peer gone, corrupt bytes, a non-finite number) are thrown there; the
// exchange cannot be used afterwards.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "comm/driver.h"
#include "exchange/feedback/feedback.h"
#include "exchange/norms.h"
#include "exchange/placement.h"
#include "exchange/residence.h"
#include "exchange/round_info.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

class BucketRound;
class Nodes;

class Exchange {
 public:
  // node_of_rank (empty: flat): see rounds/nodes.h. `residence`: where values and all that is kept beside them live; must outlive it.
  Exchange(comm::Driver& driver, SlotTable table, const FeedbackOptions& feedback, bool overlap, uint64_t seed,
           const std::vector<int>& node_of_rank = {}, Residence& residence = host_residence());
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const SlotTable& table() const { return *table_; }
  Residence& residence() { return residence_; }
  std::span<float> flat() { return values_.span(); }  // all slots, in the table's flat order, in the residence
  std::span<float> values(Slot slot) { return flat().subspan(table_->offset(slot), table_->slots()[slot].elems()); }
  // Where numbers cross to the host for their round although they live elsewhere: a line for each reason, with the elements that it is
  // about.
  const std::map<std::string, size_t>& elems_through_host() const { return placement_.elems_through_host(); }

  void begin(const RoundInfo& info, uint32_t fragment = 0);
  void ready(Slot slot);  // once per slot and round
  bool is_ready(Slot slot) const { return ready_[slot]; }
  void finish(uint32_t fragment = 0);  // all its slots must be ready
  bool is_open(uint32_t fragment = 0) const { return open_[fragment].is_open; }
  bool went_dense(Slot slot) const { return open_[table_->slots()[slot].fragment].info.dense; }  // in its last round, or this one
  // The round was under way when the state and the values just loaded were saved, after join(): now it can be finished.
  void reopen(uint32_t fragment);
  // Waits until the rounds under way have their means, which stay open: what a checkpoint needs.
  void join();

  // Goes on under another table of the same slots, between rounds, on all ranks alike. Values move, so views into flat() are void
  // afterwards; they hold zeros. Feedback is carried over by slot; what owners of slices still owe goes back into their own feedback, so
  // nothing is lost; a sketch starts anew unless its slot keeps its compressor.
  void rebuild(SlotTable table);

  // While on, what each round is given, times its scale, is added up in sampled(), by the flat order: this rank's own numbers, before any
  // feedback. Switching on starts at zero (`rounds`: as if so many had been added, to be loaded as state). For planning.
  void sample(bool on, uint64_t rounds = 0);
  bool sampling() const { return samples_; }
  std::span<const float> sampled() const { return sampled_; }
  uint64_t rounds_sampled() const { return rounds_sampled_; }

  // While on, norms() are kept.
  void measure(bool on) { measures_ = on; }
  std::span<const SlotNorms> norms() const { return norms_; }

  const RoundTimes& last_times() const { return times_; }  // of the round finished last
  // In host memory: the state itself where it lives there and as floats, else a copy. Not of a slot whose round is under way. Until the
  // next call.
  std::span<float> residual(Slot slot);
  double residual_norm();           // of all slots, as far as their rounds are not under way
  std::vector<StatePiece> state();  // what the next round depends on; after join()
  // The same for a checkpoint of another number of ranks, in memory that lives until regrouped(), which is called once it is loaded.
  std::vector<StatePiece> state_to_regroup();
  void regrouped();
  comm::Driver& driver() { return driver_; }
  int senders() const;  // ranks that exchange compressed numbers: all; under a hierarchy, the leaders of nodes

 private:
  struct OpenRound {  // of one fragment
    bool is_open = false;
    RoundInfo info;
    std::vector<uint32_t> buckets;  // of the fragment, in the order in which they fill
    size_t num_posted = 0;
    double wire_busy_before_s = 0;
  };
  void lay_out(SlotTable table);
  void keep_feedback();
  std::string why_all_through_host() const;
  std::vector<StatePiece> state(std::vector<StatePiece> of_feedback);
  bool any_open() const;
  bool needs_dense_round(uint32_t fragment) const;
  void post_full_buckets(OpenRound& round);
  void join(OpenRound& round);
  void run_bucket(comm::Wire& wire, uint32_t bucket);
  void run_round(comm::Wire& wire, uint32_t bucket, std::span<float> values);
  void note_samples(uint32_t bucket, float scale, std::span<const float> values);
  bool note_inputs(uint32_t bucket, float scale, std::span<const float> values);  // whether all are known to be finite
  void note_residual(uint32_t bucket);

  comm::Driver& driver_;
  FeedbackOptions feedback_options_;
  uint64_t seed_;
  bool overlap_;
  Residence& residence_;
  std::unique_ptr<Nodes> nodes_;
  std::unique_ptr<SlotTable> table_;  // rounds and feedback refer to it
  std::unique_ptr<ErrorFeedback> feedback_;
  Array values_;
  Placement placement_;
  std::vector<std::unique_ptr<BucketRound>> rounds_;
  std::deque<comm::Task> tasks_;  // by bucket

  std::vector<OpenRound> open_;  // by fragment
  std::vector<bool> ready_;
  std::vector<uint32_t> missing_;  // slots per bucket that are not ready
  RoundTimes times_;

  bool samples_ = false, measures_ = false;
  std::vector<float> sampled_;
  uint64_t rounds_sampled_ = 0;
  std::vector<SlotNorms> norms_, measured_;  // measured_: of rounds under way
  std::vector<bool> norm_holds_;             // by slot: norms_ tells its residual as it is now
  std::vector<Squares> squares_;             // likewise
  std::vector<float> unpacked_;
};

}  // namespace thinwire::exchange

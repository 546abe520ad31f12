// Makes plans while a run goes on: which slot travels by which codec, from measured errors (L-GreCo, docs/methods/lgreco.md), and the
// dense fallback of a slot whose residual grows.
//
// All ranks call the same functions after the same steps. What is added up over ranks are errors, one float for each layer and candidate,
// never gradients; its bytes are counted like all others. A plan is applied between two exchanges; frames carry its version.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compressors/plan/choose.h"
#include "exchange/exchange.h"
#include "exchange/plan.h"

namespace thinwire::exchange {

class Planner {
 public:
  // `slots` as plan_slots() made them, which the exchange was built with. The exchange must outlive the planner.
  Planner(const CompressOptions& options, std::vector<SlotSpec> slots, int64_t bucket_bytes, Exchange& exchange, uint64_t seed);

  // After each optimiser step. True when the exchange was rebuilt: views into its values must be taken anew. The first plan comes after
  // `samples` exchanges; the next one is due `every` steps later and is made from the first `samples` exchanges from then on.
  // `exchanged`: the step ended a round.
  bool after_step(uint64_t step, bool exchanged);
  // Would after_step() change the plan? Then no round may be under way: Schedule::settle() comes first.
  bool is_due(bool exchanged) const;

  // Of this rank, after a measured round: the slot whose residual is furthest beyond its bound; nothing when none is.
  std::optional<Slot> grown() const;
  // All ranks: a slot that has grown on some rank travels dense from the next after_step() on.
  void fall_back(Slot slot) { grown_.insert(slot); }
  const std::map<Slot, std::string>& fallbacks() const { return fallbacks_; }  // slots that do, and why

  const compressors::Plan& plan() const { return plan_; }
  double last_s() const { return last_s_; }  // the last plan took, on the training thread

  // Everything that the next plan depends on beside the exchange's state. Restoring rebuilds the exchange, before its state is loaded.
  std::string to_text() const;
  void restore(const std::string& text);  // CorruptData, and nothing has changed, where it is not such a text

 private:
  bool has_sampled() const;
  void make_plan(uint64_t step);
  compressors::ErrorTable summed_errors();
  void add_rate(std::vector<compressors::LayerToPlan>& layers);
  std::vector<compressors::CodecSpeed> agreed_speeds();
  void apply();
  void require_own(const compressors::Plan& plan) const;

  CompressOptions options_;
  std::vector<SlotSpec> slots_;  // as configured
  int64_t bucket_bytes_;
  Exchange& exchange_;
  Draw draw_;
  compressors::CandidateSet candidates_;
  std::map<std::string, std::shared_ptr<const compressors::Compressor>> shared_;  // by a candidate's text: equal choices share one object
  compressors::Plan plan_;
  uint64_t next_step_ = 0;                       // sampling begins with the first exchange from this step on
  std::map<Slot, std::string> fallbacks_;        // and why
  std::set<Slot> grown_;                         // that are to become fallbacks
  std::vector<compressors::CodecSpeed> speeds_;  // of candidates; empty until objective time asks
  double last_s_ = 0;
};

}  // namespace thinwire::exchange

// The two-shot: everyone encodes each rank's slice and sends it to its owner, who decodes and adds in rank order, encodes the mean once
// more and sends it to all. 2 (N - 1) / N of the payload per rank, whatever N.
//
// At most two ranks gather instead: as many bytes, in one trip, and nothing is encoded twice.
//
// The owner too uses the decoded bytes, so all ranks end with the same bits. What its second encoding leaves out is kept by the owner and
// added to the next round's mean (with error feedback; its decay applies).
#pragma once
#include <optional>

#include "comm/collectives.h"
#include "exchange/feedback/bucket_feedback.h"
#include "exchange/kept.h"
#include "exchange/rounds/courier.h"
#include "exchange/rounds/gather.h"

namespace thinwire::exchange {

class TwoShot {
 public:
  // `whole`: gapless pieces from 0, to be cut among the ranks. Legs are first_leg (contributions) and first_leg + 1 (means).
  // `home`: of the numbers of its rounds, and of what the owner owes.
  TwoShot(const std::vector<Piece>& whole, int num_ranks, uint16_t first_leg = 0, Residence& home = host_residence());

  // Replaces values by their mean over ranks.
  void run(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback);

  // The owner's second error: of elements [owned_begin(), ...) of values. Empty until a run with feedback over lossy codecs.
  std::span<float> owed() { return owed_ ? owed_->now() : std::span<float>(); }
  // The mean lacks it: as much as if the owner's own numbers had been short of N times that.
  std::vector<float> owed_to_all();
  size_t owned_begin(int rank) const { return begins_[static_cast<size_t>(rank)]; }
  size_t owned_elems(int rank) const { return begins_[static_cast<size_t>(rank) + 1] - owned_begin(rank); }
  bool loses() const { return loses_; }
  void keep_owed(int rank);  // from now on, if it is not kept yet
  void forget_owed();
  // Of two ranks nobody comes to owe anything, but a checkpoint of more, or of a version whose pairs re-encoded, may have brought it: then
  // it goes back into what this rank offers, and true is returned. To be called before feedback is opened.
  bool repay(int rank, BucketFeedback& feedback);

 private:
  void contribute(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback);
  void combine(Courier& courier, int me, std::span<const float> sum, const BucketFeedback& feedback);

  std::optional<Gather> pair_;             // at most two ranks
  std::vector<std::vector<Piece>> owned_;  // by rank
  std::vector<size_t> begins_;             // by rank, and the end
  uint16_t leg_;
  bool loses_;
  Residence& home_;
  std::vector<Frame> outgoing_, incoming_;  // by rank
  Frame combined_;
  std::vector<ConstBytes> to_;
  std::vector<MutableBytes> from_;
  ConstBytes sealed_mean_;
  std::vector<float> sum_, decoded_;
  std::optional<Kept> owed_;
};

}  // namespace thinwire::exchange

// The gather: every rank's payloads go to everyone, who decode and add in rank order. N - 1 payloads per rank: for few ranks, or sparse
// payloads that no owner should thin out once more.
#pragma once
#include "comm/collectives.h"
#include "exchange/feedback/bucket_feedback.h"
#include "exchange/rounds/courier.h"

namespace thinwire::exchange {

class Gather {
 public:
  Gather(std::vector<Piece> whole, int num_ranks, uint16_t leg = 0)
      : pieces_(std::move(whole)), leg_(leg), incoming_(static_cast<size_t>(num_ranks)) {}
  // As TwoShot::run.
  void run(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback);

 private:
  std::vector<Piece> pieces_;
  uint16_t leg_;
  Frame outgoing_;
  std::vector<Frame> incoming_;  // by rank
  std::vector<MutableBytes> from_;
  std::vector<float> decoded_;
};

}  // namespace thinwire::exchange

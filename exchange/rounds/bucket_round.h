// One bucket's way over the wire, by how its compressors' results combine. Runs on a communication thread; several buckets may run at once.
#pragma once
#include <memory>
#include <variant>

#include "exchange/feedback/bucket_feedback.h"
#include "exchange/rounds/gather.h"
#include "exchange/rounds/nodes.h"
#include "exchange/rounds/sketch_sum.h"
#include "exchange/rounds/two_shot.h"

namespace thinwire::exchange {

class BucketRound {
 public:
  // `fp32` is the codec of dense rounds and of the sums of sketches. `elsewhere`: the courier of numbers that live at `home`; null: the
  // host's, as it must be for sketches and where ranks of a node add up first.
  BucketRound(const SlotTable& table, uint32_t bucket, const Nodes& nodes, std::shared_ptr<const compressors::Codec> fp32, uint64_t seed,
              std::unique_ptr<Courier> elsewhere = nullptr, Residence& home = host_residence());

  // Replaces values (this bucket's flat range) by the mean over all ranks, or what that stands for under `feedback` (null: errors are
  // dropped). Throws NonFiniteError that names the slot and the rank before any byte is sent, and CommError when a peer's bytes are not
  // what they should be. `finite`: values and what is kept for them were measured, and are.
  void run(comm::Wire& wire, const RoundInfo& info, std::span<float> values, ErrorFeedback* feedback, bool finite);

  Courier& courier() { return elsewhere_ ? *elsewhere_ : host_; }
  double codec_s() { return courier().codec_s(); }     // of the last run
  uint64_t sent_bytes() const { return sent_bytes_; }  // likewise

  // What this rank, as an owner, still owes to all; empty where nothing is owed. `begin`: in the flat array.
  struct Owed {
    size_t begin = 0;
    std::vector<float> numbers;  // as TwoShot::owed_to_all()
  };
  Owed owed();
  // Owner's errors and sketches' memories. The same list before and after the first run.
  std::vector<StatePiece> state(bool with_feedback);
  std::span<float> memory(Slot slot);  // of a sketch; else empty

 private:
  void combine(comm::Wire& wire, const RoundInfo& info, std::span<float> values, bool finite);

  const SlotTable& table_;
  const Nodes& nodes_;
  const Bucket& bucket_;
  std::vector<Piece> dense_pieces_;  // its slots, whole, as fp32
  std::shared_ptr<const compressors::Codec> fp32_;
  HostCourier host_;
  std::unique_ptr<Courier> elsewhere_;
  Residence& home_;
  std::variant<TwoShot, Gather, SketchSum> way_;
  std::unique_ptr<TwoShot> dense_;  // made by the first dense round
  BucketFeedback feedback_;
  std::vector<std::vector<float>> from_node_;  // scratch of a leader: what the ranks of its node sent
  uint64_t sent_bytes_ = 0;
};

}  // namespace thinwire::exchange

#include "exchange/rounds/two_shot.h"

#include <algorithm>

namespace thinwire::exchange {

using compressors::In;

TwoShot::TwoShot(const std::vector<Piece>& whole, int num_ranks, uint16_t first_leg)
    : owned_(cut_for_owners(whole, num_ranks)),
      leg_(first_leg),
      outgoing_(owned_.size()),
      incoming_(owned_.size()),
      to_(owned_.size()),
      from_(owned_.size()) {
  size_t end = 0;
  for (const auto& pieces : owned_) {
    begins_.push_back(end);
    for (const Piece& piece : pieces) end += piece.elems();
  }
  begins_.push_back(end);
  loses_ = std::any_of(whole.begin(), whole.end(), [](const Piece& piece) { return piece.codec->traits(piece.layer).delta < 1; });
}

void TwoShot::run(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback) {
  const int me = wire.rank();
  const size_t ranks = owned_.size(), own = static_cast<size_t>(me);
  contribute(wire, courier, values, feedback);

  sum_.assign(owned_elems(me), 0.0f);
  for (size_t r = 0; r < ranks; ++r) {
    const ConstBytes frame = r == own ? to_[r] : ConstBytes(from_[r]);
    courier.unpack(static_cast<int>(r), leg_, frame, owned_[own], 1.0f, sum_.data(), owned_begin(me));
  }
  combine(courier, me, 1.0f / static_cast<float>(ranks), feedback);
  for (size_t r = 0; r < ranks; ++r) from_[r] = grown(incoming_[r], Courier::worst_frame_bytes(owned_[r]));
  comm::all_gather(wire, sealed_mean_, from_);

  std::fill(values.begin(), values.end(), 0.0f);
  for (size_t r = 0; r < ranks; ++r) {
    const ConstBytes frame = r == own ? sealed_mean_ : ConstBytes(from_[r]);
    courier.unpack(static_cast<int>(r), static_cast<uint16_t>(leg_ + 1), frame, owned_[r], 1.0f, values.data(), 0);
  }
}

void TwoShot::contribute(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback) {
  const size_t own = static_cast<size_t>(wire.rank());
  const auto in_of = [&](const Piece& piece) { return feedback.in(piece.layer.id, piece.begin, values.data() + piece.begin); };
  for (const auto& pieces : owned_) courier.require_finite(pieces, in_of);
  for (size_t r = 0; r < owned_.size(); ++r) {
    to_[r] = courier.pack(leg_, owned_[r], in_of, outgoing_[r]);
    from_[r] = grown(incoming_[r], Courier::worst_frame_bytes(owned_[own]));
  }
  if (feedback.wants_decoded()) {
    decoded_.assign(values.size(), 0.0f);
    for (size_t r = 0; r < owned_.size(); ++r) courier.unpack(wire.rank(), leg_, to_[r], owned_[r], 1.0f, decoded_.data(), 0);
  }
  feedback.sent(values.size(), decoded_);
  comm::all_to_all(wire, to_, from_);
}

void TwoShot::combine(Courier& courier, int me, float weight, const BucketFeedback& feedback) {
  const bool keeps = feedback.keeps() && loses_;
  if (keeps && owed_.empty()) keep_owed(me);
  const auto in_of = [&](const Piece& piece) {
    const size_t at = piece.begin - owned_begin(me);
    return In{sum_.data() + at, weight, keeps ? owed_.data() + at : nullptr, keeps ? feedback.decay() : 1.0f};
  };
  const auto& own = owned_[static_cast<size_t>(me)];
  courier.require_finite(own, in_of);
  sealed_mean_ = courier.pack(static_cast<uint16_t>(leg_ + 1), own, in_of, combined_);
}

}  // namespace thinwire::exchange

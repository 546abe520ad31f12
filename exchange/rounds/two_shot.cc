#include "exchange/rounds/two_shot.h"

#include <algorithm>

#include "compressors/plan/cost.h"

namespace thinwire::exchange {

TwoShot::TwoShot(const std::vector<Piece>& whole, int num_ranks, uint16_t first_leg, Residence& home)
    : owned_(cut_for_owners(whole, num_ranks)),
      leg_(first_leg),
      home_(home),
      outgoing_(owned_.size()),
      incoming_(owned_.size()),
      to_(owned_.size()),
      from_(owned_.size()) {
  if (!compressors::reencodes(num_ranks)) pair_.emplace(whole, num_ranks, first_leg);
  size_t end = 0;
  for (const auto& pieces : owned_) {
    begins_.push_back(end);
    for (const Piece& piece : pieces) end += piece.elems();
  }
  begins_.push_back(end);
  loses_ = std::any_of(whole.begin(), whole.end(), [](const Piece& piece) { return piece.codec->traits(piece.layer).delta < 1; });
}

void TwoShot::run(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback) {
  if (pair_) {
    pair_->run(wire, courier, values, feedback);
    return;
  }
  const int me = wire.rank();
  const size_t ranks = owned_.size(), own = static_cast<size_t>(me);
  contribute(wire, courier, values, feedback);

  const auto sum = courier.numbers(sum_, owned_elems(me));
  for (size_t r = 0; r < ranks; ++r) {
    const ConstBytes frame = r == own ? to_[r] : ConstBytes(from_[r]);
    courier.unpack(static_cast<int>(r), leg_, frame, owned_[own], 1.0f, sum.data(), owned_begin(me), r == 0 ? Onto::zeros : Onto::sums);
  }
  combine(courier, me, sum, feedback);
  for (size_t r = 0; r < ranks; ++r) from_[r] = courier.room(incoming_[r], Courier::worst_frame_bytes(owned_[r]));
  comm::all_gather(wire, sealed_mean_, from_);

  for (size_t r = 0; r < ranks; ++r) {
    const ConstBytes frame = r == own ? sealed_mean_ : ConstBytes(from_[r]);
    courier.unpack(static_cast<int>(r), static_cast<uint16_t>(leg_ + 1), frame, owned_[r], 1.0f, values.data(), 0, Onto::zeros);
  }
  courier.settle();
}

void TwoShot::contribute(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback) {
  const size_t own = static_cast<size_t>(wire.rank());
  const auto offer_of = [&](const Piece& piece) { return feedback.in(piece.layer.id, piece.begin, values.data() + piece.begin); };
  bool known = true;
  for (const auto& pieces : owned_) known = courier.require_finite(pieces, offer_of) && known;
  for (size_t r = 0; r < owned_.size(); ++r) {
    courier.pack(
        leg_, owned_[r], [&](const Piece& piece) { return offer_of(piece).known(known); }, outgoing_[r]);
    from_[r] = courier.room(incoming_[r], Courier::worst_frame_bytes(owned_[own]));
  }
  for (size_t r = 0; r < owned_.size(); ++r) to_[r] = courier.seal(outgoing_[r]);
  std::span<float> decoded;
  if (feedback.wants_decoded()) {
    decoded = courier.numbers(decoded_, values.size());
    for (size_t r = 0; r < owned_.size(); ++r) courier.unpack(wire.rank(), leg_, to_[r], owned_[r], 1.0f, decoded.data(), 0, Onto::zeros);
  }
  feedback.sent(values.size(), decoded);
  comm::all_to_all(wire, to_, from_);
}

void TwoShot::combine(Courier& courier, int me, std::span<const float> sum, const BucketFeedback& feedback) {
  const float weight = 1.0f / static_cast<float>(owned_.size());
  const bool keeps = feedback.keeps() && loses_;
  if (keeps) keep_owed(me);
  const auto offer_of = [&](const Piece& piece) {
    const size_t at = piece.begin - owned_begin(me);
    return keeps ? owed_->offer(at, sum.data() + at, weight, feedback.decay()) : Offer{{sum.data() + at, weight}};
  };
  const auto& own = owned_[static_cast<size_t>(me)];
  const bool known = courier.require_finite(own, offer_of);
  courier.pack(
      static_cast<uint16_t>(leg_ + 1), own, [&](const Piece& piece) { return offer_of(piece).known(known); }, combined_);
  sealed_mean_ = courier.seal(combined_);
  if (keeps) owed_->turn();
}

void TwoShot::keep_owed(int rank) {
  if (!owed_) owed_.emplace(home_, owned_elems(rank));
}

std::vector<float> TwoShot::owed_to_all() {
  std::vector<float> all(owed().size());
  home_.fetch(std::as_writable_bytes(std::span(all)), owed().data());
  for (float& x : all) x *= static_cast<float>(owned_.size());
  return all;
}

void TwoShot::forget_owed() { home_.zero(owed()); }

bool TwoShot::repay(int rank, BucketFeedback& feedback) {
  if (!pair_ || !owed_) return false;
  const std::vector<float> owed = owed_to_all();
  owed_.reset();
  if (std::ranges::all_of(owed, [](float x) { return x == 0; })) return false;
  feedback.take_back(owned_begin(rank), owed);
  return true;
}

}  // namespace thinwire::exchange

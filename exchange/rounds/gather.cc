#include "exchange/rounds/gather.h"

#include <algorithm>

namespace thinwire::exchange {

void Gather::run(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback) {
  const size_t ranks = incoming_.size(), own = static_cast<size_t>(wire.rank());
  const auto offer_of = [&](const Piece& piece) { return feedback.in(piece.layer.id, piece.begin, values.data() + piece.begin); };
  // One piece alone is checked by its codec.
  const bool known = pieces_.size() > 1 && courier.require_finite(pieces_, offer_of);
  courier.pack(
      leg_, pieces_, [&](const Piece& piece) { return offer_of(piece).known(known); }, outgoing_);
  const ConstBytes sealed = courier.seal(outgoing_);
  std::span<float> decoded;
  if (feedback.wants_decoded()) {
    decoded = courier.numbers(decoded_, values.size());
    courier.unpack(wire.rank(), leg_, sealed, pieces_, 1.0f, decoded.data(), 0, Onto::zeros);
  }
  feedback.sent(values.size(), decoded);

  from_.assign(ranks, {});
  for (size_t r = 0; r < ranks; ++r) {
    if (r != own) from_[r] = courier.room(incoming_[r], Courier::worst_frame_bytes(pieces_));
  }
  comm::all_gather(wire, sealed, from_);
  for (size_t r = 0; r < ranks; ++r) {
    const ConstBytes frame = r == own ? sealed : ConstBytes(from_[r]);
    courier.unpack(static_cast<int>(r), leg_, frame, pieces_, 1.0f / static_cast<float>(ranks), values.data(), 0,
                   r == 0 ? Onto::zeros : Onto::sums);
  }
  courier.settle();
}

}  // namespace thinwire::exchange

#include "exchange/rounds/gather.h"

#include <algorithm>

namespace thinwire::exchange {

void Gather::run(comm::Wire& wire, Courier& courier, std::span<float> values, BucketFeedback& feedback) {
  const size_t ranks = incoming_.size(), own = static_cast<size_t>(wire.rank());
  const auto in_of = [&](const Piece& piece) { return feedback.in(piece.layer.id, piece.begin, values.data() + piece.begin); };
  if (pieces_.size() > 1) courier.require_finite(pieces_, in_of);  // one alone is checked by its codec
  const ConstBytes sealed = courier.pack(0, pieces_, in_of, outgoing_);
  if (feedback.wants_decoded()) {
    decoded_.assign(values.size(), 0.0f);
    courier.unpack(wire.rank(), 0, sealed, pieces_, 1.0f, decoded_.data(), 0);
  }
  feedback.sent(values.size(), decoded_);

  from_.assign(ranks, {});
  for (size_t r = 0; r < ranks; ++r) {
    if (r != own) from_[r] = grown(incoming_[r], Courier::worst_frame_bytes(pieces_));
  }
  comm::all_gather(wire, sealed, from_);
  std::fill(values.begin(), values.end(), 0.0f);
  for (size_t r = 0; r < ranks; ++r) {
    const ConstBytes frame = r == own ? sealed : ConstBytes(from_[r]);
    courier.unpack(static_cast<int>(r), 0, frame, pieces_, 1.0f / static_cast<float>(ranks), values.data(), 0);
  }
}

}  // namespace thinwire::exchange

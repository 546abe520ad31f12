// The unit that a codec encodes: a slot, or the part of one that a rank owns.
#pragma once
#include <memory>
#include <vector>

#include "compressors/codec.h"
#include "exchange/slots.h"

namespace thinwire::exchange {

struct Piece {
  const compressors::Codec* codec = nullptr;
  compressors::Layer layer;  // id: the slot
  size_t begin = 0;          // in the bucket's range of the flat array
  size_t elems() const { return static_cast<size_t>(layer.elems()); }
};

// The bucket's slots, whole, each under its codec, or all under `instead`.
std::vector<Piece> whole_pieces(const SlotTable& table, const Bucket& bucket, const compressors::Codec* instead = nullptr);

// What each rank owns of `whole`, which is gapless from 0: about equal numbers of elements (comm::owned_slice), each cut moved down to
// where the codec of the slot it falls into may be cut. A pure function, the same on every rank.
std::vector<std::vector<Piece>> cut_for_owners(const std::vector<Piece>& whole, int num_ranks);

}  // namespace thinwire::exchange

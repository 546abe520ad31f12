#include "exchange/rounds/piece.h"

#include "base/check.h"
#include "comm/collectives.h"

namespace thinwire::exchange {

using compressors::Layer;

namespace {
// The cut at or below `position`.
size_t allowed_cut(const std::vector<Piece>& whole, size_t position) {
  for (const Piece& piece : whole) {
    if (position >= piece.begin + piece.elems()) continue;
    const size_t unit = piece.codec->traits(piece.layer).split_elems;
    check(unit > 0, "a codec whose results are encoded again says where its layers may be cut");
    return piece.begin + (position - piece.begin) / unit * unit;
  }
  return position;  // the end
}

Piece part_of(const Piece& piece, size_t begin, size_t end) {
  const auto cols = static_cast<size_t>(piece.layer.cols);
  const size_t offset = begin - piece.begin, elems = end - begin;
  Piece part = piece;
  part.begin = begin;
  if (elems == piece.elems()) return part;
  const bool whole_rows = piece.layer.rows > 1 && offset % cols == 0 && elems % cols == 0;
  part.layer.rows = whole_rows ? static_cast<int64_t>(elems / cols) : 1;
  part.layer.cols = whole_rows ? piece.layer.cols : static_cast<int64_t>(elems);
  return part;
}
}  // namespace

std::vector<Piece> whole_pieces(const SlotTable& table, const Bucket& bucket, const compressors::Codec* instead) {
  std::vector<Piece> pieces;
  for (const Slot slot : bucket.slots) {
    const SlotSpec& spec = table.slots()[slot];
    const auto* codec = instead != nullptr ? instead : dynamic_cast<const compressors::Codec*>(spec.codec.get());
    check(codec != nullptr, "the slot of a bucket of codecs has a codec");
    pieces.push_back({codec, Layer{slot, spec.rows, spec.cols}, table.offset(slot) - bucket.begin});
  }
  return pieces;
}

std::vector<std::vector<Piece>> cut_for_owners(const std::vector<Piece>& whole, int num_ranks) {
  const size_t total = whole.empty() ? 0 : whole.back().begin + whole.back().elems();
  std::vector<std::vector<Piece>> owned(static_cast<size_t>(num_ranks));
  size_t begin = 0;
  for (int rank = 0; rank < num_ranks; ++rank) {
    const size_t end = allowed_cut(whole, comm::owned_slice(total, rank, num_ranks).end);
    for (const Piece& piece : whole) {
      const size_t from = std::max(begin, piece.begin), to = std::min(end, piece.begin + piece.elems());
      if (from < to) owned[static_cast<size_t>(rank)].push_back(part_of(piece, from, to));
    }
    begin = end;
  }
  return owned;
}

}  // namespace thinwire::exchange

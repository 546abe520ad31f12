#include "exchange/rounds/courier.h"

#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace thinwire::exchange {

using compressors::kFrameHeaderBytes;

void Courier::begin(const RoundInfo& info, const comm::Wire& wire) {
  info_ = info;
  rank_ = wire.rank();
  name_members(wire);
  codec_s_ = 0;
  shared_ = Draw(seed_).fork("codec").fork(info.step).fork(bucket_);
  own_ = shared_.fork("rank").fork(static_cast<uint64_t>(rank_));
  start();
}

void Courier::name_members(const comm::Wire& wire) {
  bool known = static_cast<int>(members_.size()) == wire.size();
  for (int r = 0; known && r < wire.size(); ++r) known = members_[static_cast<size_t>(r)] == wire.member(r);
  if (known) return;
  members_.clear();
  sources_.clear();
  for (int r = 0; r < wire.size(); ++r) {
    members_.push_back(wire.member(r));
    const std::string who = "rank " + std::to_string(members_.back()), to = " to bucket " + std::to_string(bucket_);
    sources_.push_back({who + "'s contribution" + to, who + "'s combined slice" + to});
  }
}

size_t Courier::worst_frame_bytes(std::span<const Piece> pieces) {
  size_t bytes = kFrameHeaderBytes;
  for (const Piece& piece : pieces) {
    const auto traits = piece.codec->traits(piece.layer);
    check(traits.exact_bytes || traits.worst_bytes <= UINT32_MAX, "a payload's length fits into its four bytes");
    bytes += traits.exact_bytes.value_or(kLengthBytes + traits.worst_bytes);
  }
  return bytes;
}

void Courier::open(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces,
                   FunctionRef<void(const Piece&, ConstBytes payload)> take) const {
  const std::string_view sender = source(from_rank, leg);
  try {
    ByteReader body(compressors::open_frame(frame, frame_info(pieces, leg), sender), sender);
    for (const Piece& piece : pieces) {
      const auto exact = piece.codec->traits(piece.layer).exact_bytes;
      const size_t length = exact ? *exact : body.read<uint32_t>("payload length");
      take(piece, body.take(length, "payload"));
    }
    if (body.remaining() != 0)
      throw CorruptData(std::string(sender) + ": " + std::to_string(body.remaining()) + " bytes after the last payload");
  } catch (const CorruptData& e) {
    throw CommError(e.what());
  }
}

compressors::FrameInfo Courier::frame_info(std::span<const Piece> pieces, uint16_t leg) const {
  const uint16_t id = pieces.empty() ? uint16_t{0} : pieces.front().codec->id();  // a bucket's codecs are of one id
  return {id, leg, bucket_, info_.step, table_.hash(), table_.version()};
}

std::string_view Courier::name_of(const Piece& piece) const {
  return piece.layer.id < table_.slots().size() ? std::string_view(table_.slots()[piece.layer.id].name) : "a sketch's sum";
}

void Courier::refuse_payload(int from_rank, const Piece& piece, const CorruptData& why) const {
  throw CommError("rank " + std::to_string(members_[static_cast<size_t>(from_rank)]) + " sent a payload that codec " +
                  std::string(piece.codec->name()) + " refuses: " + why.what());
}

void Courier::report_non_finite(const Piece& piece, size_t element, float value) const {
  const std::string where = " on rank " + std::to_string(members_[static_cast<size_t>(rank_)]) + " at step " + std::to_string(info_.step);
  if (piece.layer.id >= table_.slots().size()) throw NonFiniteError("non-finite value in a sketch's sum" + where);
  const size_t offset = table_.buckets()[bucket_].begin + piece.begin - table_.offset(piece.layer.id);
  throw NonFiniteError("non-finite value in '" + table_.slots()[piece.layer.id].name + "'" + where + ": element " +
                       std::to_string(offset + element) + " is " + std::to_string(value) +
                       ", before compression; a lower optim.lr, a longer optim.warmup or optim.clip usually helps");
}

}  // namespace thinwire::exchange

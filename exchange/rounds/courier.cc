#include "exchange/rounds/courier.h"

#include <cmath>
#include <memory>

#include "base/trace.h"
#include "compressors/guards.h"

namespace thinwire::exchange {

using compressors::Context;
using compressors::In;
using compressors::kFrameHeaderBytes;

namespace {
constexpr size_t kLengthBytes = sizeof(uint32_t);
}  // namespace

MutableBytes grown(std::vector<std::byte>& buffer, size_t num_bytes) {
  if (buffer.size() < num_bytes) buffer.resize(num_bytes);
  return std::span(buffer).first(num_bytes);
}

void Courier::begin(const RoundInfo& info, const comm::Wire& wire) {
  info_ = info;
  rank_ = wire.rank();
  name_members(wire);
  codec_s_ = 0;
  context_.shared = Draw(seed_).fork("codec").fork(info.step).fork(bucket_);
  own_ = context_.shared.fork("rank").fork(static_cast<uint64_t>(rank_));
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

Context& Courier::context(size_t scratch_bytes) {
  constexpr size_t kAlignment = 64;  // what a codec is promised (compressors/compressor.h)
  const MutableBytes whole = grown(scratch_, scratch_bytes + kAlignment - 1);
  void* begin = whole.data();
  size_t room = whole.size();
  check(std::align(kAlignment, scratch_bytes, begin, room) != nullptr, "the buffer has room for the alignment");
  context_.scratch = {static_cast<std::byte*>(begin), scratch_bytes};
  return context_;
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

ConstBytes Courier::pack(uint16_t leg, std::span<const Piece> pieces, InOf in_of, std::vector<std::byte>& buffer) {
  trace::Span encodes(trace::Lane::encode, "bucket", bucket_);
  const MutableBytes frame = grown(buffer, worst_frame_bytes(pieces));
  size_t end = kFrameHeaderBytes;
  for (const Piece& piece : pieces) {
    const bool varies = !piece.codec->traits(piece.layer).exact_bytes;
    std::byte* payload = frame.data() + end + (varies ? kLengthBytes : 0);
    const size_t length = encode(piece, leg, in_of(piece), payload);
    if (varies) store_le(frame.data() + end, static_cast<uint32_t>(length));
    end = static_cast<size_t>(payload - frame.data()) + length;
  }
  const size_t frame_bytes = compressors::seal_frame(frame, frame_info(pieces, leg), end - kFrameHeaderBytes);
  encodes.moves(frame_bytes);
  return frame.first(frame_bytes);
}

void Courier::unpack(int from_rank, uint16_t leg, ConstBytes frame, std::span<const Piece> pieces, float weight, float* out, size_t base) {
  const std::string_view sender = source(from_rank, leg);
  trace::Span decodes(trace::Lane::decode, "bucket", bucket_);
  decodes.moves(frame.size());
  try {
    ByteReader body(compressors::open_frame(frame, frame_info(pieces, leg), sender), sender);
    for (const Piece& piece : pieces) {
      const auto exact = piece.codec->traits(piece.layer).exact_bytes;
      const size_t length = exact ? *exact : body.read<uint32_t>("payload length");
      decode(from_rank, piece, body.take(length, "payload"), weight, out + (piece.begin - base));
    }
    if (body.remaining() != 0) throw CorruptData(std::string(sender) + ": " + std::to_string(body.remaining()) + " bytes after the last payload");
  } catch (const CorruptData& e) {
    throw CommError(e.what());
  }
}

size_t Courier::encode(const Piece& piece, uint16_t leg, In in, std::byte* out) {
  const TimeInto time = time_codec();
  Context& with = context(piece.codec->traits(piece.layer).scratch_bytes);
  with.own = own_.fork(leg).fork(piece.begin);  // roundings of pieces and legs are independent of one another
  try {
    return piece.codec->encode(piece.layer, in, with, out);
  } catch (const NonFiniteError&) {
    report_non_finite(piece, in);  // the codec knows a layer and an element; the user knows a parameter
  }
}

void Courier::decode(int from_rank, const Piece& piece, ConstBytes payload, float weight, float* out) {
  const TimeInto time = time_codec();
  try {
    piece.codec->decode_add(piece.layer, payload, weight, out, context(piece.codec->traits(piece.layer).scratch_bytes));
  } catch (const CorruptData& e) {
    throw CommError("rank " + std::to_string(members_[static_cast<size_t>(from_rank)]) + " sent a payload that codec " +
                    std::string(piece.codec->name()) + " refuses: " + e.what());
  }
}

compressors::FrameInfo Courier::frame_info(std::span<const Piece> pieces, uint16_t leg) const {
  const uint16_t id = pieces.empty() ? uint16_t{0} : pieces.front().codec->id();  // a bucket's codecs are of one id
  return {id, leg, bucket_, info_.step, table_.hash(), table_.version()};
}

std::string_view Courier::source(int from_rank, uint16_t leg) const { return sources_[static_cast<size_t>(from_rank)][leg % 2]; }

void Courier::require_finite(std::span<const Piece> pieces, InOf in_of) const {
  for (const Piece& piece : pieces) {
    const In in = in_of(piece);
    if (in.residual != nullptr) require_finite(piece, in);
  }
}

void Courier::require_finite(const Piece& piece, const In& in) const {
  try {
    compressors::require_finite(piece.layer, in);
  } catch (const NonFiniteError&) {
    report_non_finite(piece, in);
  }
}

void Courier::report_non_finite(const Piece& piece, const In& in) const {
  const std::string where = " on rank " + std::to_string(members_[static_cast<size_t>(rank_)]) + " at step " + std::to_string(info_.step);
  if (piece.layer.id >= table_.slots().size()) throw NonFiniteError("non-finite value in a sketch's sum" + where);
  const size_t offset = table_.buckets()[bucket_].begin + piece.begin - table_.offset(piece.layer.id);
  for (size_t i = 0; i < piece.elems(); ++i) {
    const float a = in.scale * in.x[i] + (in.residual ? in.decay * in.residual[i] : 0.0f);
    if (std::isfinite(a)) continue;
    throw NonFiniteError("non-finite value in '" + table_.slots()[piece.layer.id].name + "'" + where + ": element " +
                         std::to_string(offset + i) + " is " + std::to_string(a) +
                         ", before compression; a lower optim.lr, a longer optim.warmup or optim.clip usually helps");
  }
  throw NonFiniteError("non-finite value" + where);
}

}  // namespace thinwire::exchange
